"""Quantities against figures worked out from the outputs directly."""

from __future__ import annotations

import math

import numpy as np
import pytest
from builders import distribution, normal

from onnx_factorize.calibration import Batch
from onnx_factorize.errors import InputError
from onnx_factorize.evaluation import Divergences
from onnx_factorize.goals.quantities.agreement import SameTopClass
from onnx_factorize.goals.quantities.confidence import lower_bound
from onnx_factorize.goals.quantities.cosine import Cosine
from onnx_factorize.goals.quantities.divergence import Divergence
from onnx_factorize.goals.quantities.own_metric import OwnMetric
from onnx_factorize.goals.quantities.top1 import Top1
from onnx_factorize.passes import OutputKind

SEEN = normal(0, 64, 5)
LOGITS = {"y": distribution(OutputKind("categorical", -1, "logit"), SEEN)}
PLAIN = {"y": distribution(OutputKind("gaussian"), SEEN)}


def _batches(count=6, samples=8, classes=5, noise=0.6):
    """Batches with the outputs of two models; labels are what the dense model says, mostly."""
    for index in range(count):
        p = normal(index, samples, classes)
        q = p + noise * normal(100 + index, samples, classes)
        labels = p.argmax(-1)
        labels[0] = (labels[0] + 1) % classes
        feeds = {"x": np.zeros((samples, 1), np.float32)}
        yield Batch(feeds, samples, labels, f"batch {index}"), {"y": p}, {"y": q}


def _estimate(quantity, batches=None):
    for batch in batches or _batches():
        quantity.add(*batch)
    return quantity.estimate()


@pytest.mark.parametrize("kinds", [LOGITS, PLAIN])
def test_a_divergence_is_that_of_the_report(kinds):
    whole = Divergences(kinds)
    for batch, p, q in _batches():
        whole.add(batch, p, q)
    found = _estimate(Divergence(kinds))
    assert found.value == pytest.approx(whole.value, rel=1e-9)
    assert found.shares.mean() == pytest.approx(whole.value, rel=1e-9)
    assert len(found.shares) == 48


def test_padding_is_left_out_of_a_divergence():
    p, q = normal(1, 3, 4, 5), normal(2, 3, 4, 5)
    mask = np.array([[1, 1, 0, 0], [1, 1, 1, 1], [1, 0, 0, 0]], np.int64)
    batch = Batch({"attention_mask": mask}, 3, None, "batch", mask=mask.astype(bool))
    whole = Divergences(LOGITS)
    whole.add(batch, {"y": p}, {"y": q})
    found = _estimate(Divergence(LOGITS), [(batch, {"y": p}, {"y": q})])
    assert found.value == pytest.approx(whole.value, rel=1e-9)
    changed = np.where(mask[..., None] == 1, q, 7.0)
    again = _estimate(Divergence(LOGITS), [(batch, {"y": p}, {"y": changed})])
    np.testing.assert_allclose(again.shares, found.shares)
    cosine = _estimate(Cosine(LOGITS), [(batch, {"y": p}, {"y": q})])
    last = p[2, 0] @ q[2, 0] / np.linalg.norm(p[2, 0]) / np.linalg.norm(q[2, 0])
    assert cosine.shares[2] == pytest.approx(last, rel=1e-5)


def test_divergences_of_several_outputs_add():
    batches = [
        (b, {"y": p["y"], "z": p["y"]}, {"y": q["y"], "z": q["y"]}) for b, p, q in _batches()
    ]
    both = _estimate(Divergence({"y": LOGITS["y"], "z": PLAIN["y"]}), batches)
    apart = _estimate(Divergence(LOGITS)).value + _estimate(Divergence(PLAIN)).value
    assert both.value == pytest.approx(apart)


def test_an_output_without_a_row_for_each_sample_counts_by_the_batch():
    batches = [(b, {"y": p["y"][:3]}, {"y": q["y"][:3]}) for b, p, q in _batches()]
    assert len(_estimate(Divergence(PLAIN), batches).shares) == 6


def test_agreement_and_top1_count():
    p = np.concatenate([p["y"] for _, p, _ in _batches()])
    q = np.concatenate([q["y"] for _, _, q in _batches()])
    labels = np.concatenate([b.labels for b, _, _ in _batches()])
    same = (p.argmax(-1) == q.argmax(-1)).mean()
    found = _estimate(SameTopClass(LOGITS))
    assert found.value == pytest.approx(same)
    assert lower_bound(found.shares) < same
    right = (q.argmax(-1) == labels).sum() / (p.argmax(-1) == labels).sum()
    assert _estimate(Top1(LOGITS)).value == pytest.approx(right)


def test_labels_below_zero_stand_for_none():
    def hidden():
        for batch, p, q in _batches():
            labels = batch.labels.copy()
            labels[4:] = -1
            yield Batch(batch.feeds, batch.samples, labels, batch.origin), p, q

    p = np.concatenate([p["y"][:4] for _, p, _ in _batches()])
    q = np.concatenate([q["y"][:4] for _, _, q in _batches()])
    labels = np.concatenate([b.labels[:4] for b, _, _ in _batches()])
    right = (q.argmax(-1) == labels).sum() / (p.argmax(-1) == labels).sum()
    assert _estimate(Top1(LOGITS), hidden()).value == pytest.approx(right)


def test_top1_without_usable_labels_is_refused():
    batch, p, q = next(_batches())
    for labels, word in ((None, "agreement"), (np.zeros((8, 2), np.int64), "fit no output")):
        with pytest.raises(InputError, match=word):
            Top1(LOGITS).add(Batch(batch.feeds, 8, labels, "b"), p, q)
    wrong = Batch(batch.feeds, 8, (p["y"].argmax(-1) + 1) % 5, "b")
    with pytest.raises(InputError, match="gets no held-out label right"):
        _estimate(Top1(LOGITS), [(wrong, p, q)])


def test_agreement_needs_classes():
    with pytest.raises(InputError, match="cosine"):
        SameTopClass(PLAIN)


def _module(monkeypatch, tmp_path, body):
    name = f"own_{abs(hash(body))}"
    (tmp_path / f"{name}.py").write_text(f"import numpy as np\n\ndef metric(p, y):\n    {body}\n")
    monkeypatch.chdir(tmp_path)
    return f"{name}:metric"


def test_an_own_metric_for_each_sample_is_paired(monkeypatch, tmp_path):
    name = _module(monkeypatch, tmp_path, "return p.argmax(-1) == y")
    own, built_in = _estimate(OwnMetric.of(name, LOGITS)), _estimate(Top1(LOGITS))
    assert own.value == pytest.approx(built_in.value)
    assert len(own.shares) == 48


def test_an_own_metric_for_all_samples_is_resampled(monkeypatch, tmp_path):
    each = _module(monkeypatch, tmp_path, "return p.argmax(-1) == y")
    whole = _module(monkeypatch, tmp_path, "return (p.argmax(-1) == y).mean()")
    batches = list(_batches(50))
    a, b = (_estimate(OwnMetric.of(name, LOGITS), batches) for name in (each, whole))
    assert a.value == pytest.approx(b.value)
    spreads = [x.shares.std(ddof=1) / math.sqrt(len(x.shares)) for x in (a, b)]
    assert spreads[1] == pytest.approx(spreads[0], rel=0.5)


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ("raise KeyError('k')", "KeyError"),
        ("return p", "shape"),
        ("return float('nan')", "finite"),
        ("return -1.0", "above zero"),
    ],
)
def test_an_own_metric_that_cannot_be_used(monkeypatch, tmp_path, body, word):
    with pytest.raises(InputError, match=word):
        _estimate(OwnMetric.of(_module(monkeypatch, tmp_path, body), LOGITS))
