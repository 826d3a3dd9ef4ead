"""Whole runs on outputs that hold different things: what is small is kept too."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from builders import BUNDLED, BUNDLED_DATA, model, run

from onnx_factorize import compare, factorize
from onnx_factorize.files import model_io

OPTIONS = {"threads": 1, "prefer": "size", "budget": "targets=0.5"}


def _decaying(rng, rows, columns, rate=0.15):
    """A weight with a decaying spectrum, as trained ones have."""
    least = min(rows, columns)
    u = np.linalg.qr(rng.standard_normal((rows, least)))[0]
    v = np.linalg.qr(rng.standard_normal((columns, least)))[0]
    return ((u * (np.exp(-rate * np.arange(least)) + 0.02)) @ v.T * np.sqrt(least)).astype("f4")


def _head(classes, never):
    """Boxes in pixels beside class scores, from one trunk."""
    rng = np.random.default_rng(0)
    weights = {
        "stem": _decaying(rng, 48, 96),
        "box1": _decaying(rng, 96, 96),
        "box2": _decaying(rng, 96, 4),
        "cls1": _decaying(rng, 96, 96),
        "cls2": _decaying(rng, 96, classes),
        "pixels": np.float32([100]),
        "bias": np.full(classes, -1.5, np.float32),
    }
    weights["bias"][list(never)] = -16
    body = """h0 = MatMul (x, stem) h = Relu (h0)
        b0 = MatMul (h, box1) b1 = Relu (b0) b2 = MatMul (b1, box2) boxes = Mul (b2, pixels)
        c0 = MatMul (h, cls1) c1 = Relu (c0) c2 = MatMul (c1, cls2) c3 = Add (c2, bias)
        scores = Sigmoid (c3)"""
    apart = f"(float[n, 48] x) => (float[n, 4] boxes, float[n, {classes}] scores) {{ {body} }}"
    both = f"{body} y = Concat <axis = -1> (boxes, scores)"
    joined = f"(float[n, 48] x) => (float[n, {classes + 4}] y) {{ {both} }}"
    x = rng.standard_normal((700, 48)).astype(np.float32)
    return model(joined, weights), model(apart, weights), x[:400], x[400:]


@pytest.mark.parametrize(("classes", "never"), [(8, ()), (80, (5,)), (80, (0, 40, 79))])
def test_scores_beside_boxes_are_kept_as_in_an_output_of_their_own(classes, never):
    joined, apart, seen, new = _head(classes, never)
    errors = []
    for proto in (joined, apart):
        small = factorize(proto, [{"x": seen}], **OPTIONS).model
        a, b = (np.concatenate(run(each, {"x": new}), axis=-1)[:, 4:] for each in (proto, small))
        errors.append(np.square(a - b).sum() / np.square(a - a.mean(axis=0)).sum())
        found, kept = a > 0.25, b > 0.25
        assert 2 * (found & kept).sum() > 0.95 * (found.sum() + kept.sum())
    assert errors[0] <= 1.3 * errors[1]


def test_targets_in_different_units_keep_their_accuracy():
    """Of a regression that ends like a classifier, without any option."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1000, 16)).astype(np.float32)
    directions = rng.standard_normal((16, 3)) / 4
    y = np.tanh(x @ directions) * [250, 20, 0.5] + [300, 20, 0.5]
    centre, spread = y.mean(0), y.std(0)
    hidden = [torch.nn.Linear(16, 96), torch.nn.ReLU(), torch.nn.Linear(96, 96), torch.nn.ReLU()]
    net = torch.nn.Sequential(*hidden, torch.nn.Linear(96, 3))
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    wanted = torch.tensor((y - centre) / spread, dtype=torch.float32)
    for _ in range(300):
        loss = (net(torch.tensor(x[:800])) - wanted[:800]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    layers = [(m.weight.detach().numpy().T, m.bias.detach().numpy()) for m in net[::2]]
    (w1, b1), (w2, b2), (w3, b3) = layers
    weights = {"w1": w1, "b1": b1, "w2": w2, "b2": b2}
    weights |= {"w3": (w3 * spread).astype("f4"), "b3": (b3 * spread + centre).astype("f4")}
    text = """(float[n, 16] x) => (float[n, 3] variable) {
        h = Gemm (x, w1, b1) r = Relu (h) g = Gemm (r, w2, b2) s = Relu (g)
        variable = Gemm (s, w3, b3)
    }"""
    proto = model(text, weights)
    result = factorize(proto, [{"x": x[:800]}], **(OPTIONS | {"budget": "targets=0.4"}))
    assert result.report.divergence["outputs"]["variable"]["kind"] == "gaussian"

    def r2(source):
        found = run(source, {"x": x[800:]})[0]
        return 1 - np.square(found - y[800:]).mean(0) / y[800:].var(0)

    assert (r2(proto) > 0.9).all()
    assert (r2(proto) - r2(result.model) < 0.02).all()


def test_what_is_guaranteed_holds_for_the_worst_part():
    joined, _, seen, new = _head(8, ())
    for guarantee in ({"max_divergence": 0.02}, {"keep": "cosine=0.99"}):
        options = {"threads": 1, "prefer": "size", "weighting": "activation"} | guarantee
        small = factorize(joined, [{"x": seen}], **options).model
        a, b = (run(each, {"x": new})[0] for each in (joined, small))
        for part in (slice(0, 4), slice(4, 12)):
            p, q = a[:, part].astype(np.float64), b[:, part].astype(np.float64)
            if "keep" in guarantee:
                cosines = (p * q).sum(1) / np.linalg.norm(p, axis=1) / np.linalg.norm(q, axis=1)
                assert cosines.mean() > 0.988
            else:
                assert 0.5 * np.square(p - q).mean() / p.var(axis=0).mean() < 0.025


def test_comparing_tells_the_parts_too():
    joined, _, seen, _ = _head(8, ())
    small = factorize(joined, [{"x": seen}], **OPTIONS).model
    found = compare(joined, small, [{"x": seen}]).agreement.outputs["y"]
    assert set(found.parts) == {"axis -1: 0-3", "axis -1: 4-11"}
    assert found.divergence == pytest.approx(np.mean(list(found.parts.values())))


@pytest.mark.parametrize("batch_size", [5, 64])
def test_neither_batches_nor_threads_decide(batch_size):
    """Labels, places, folds and what is held out belong to the samples."""
    joined, _, seen, _ = _head(8, ())
    options = {"prefer": "size", "budget": "targets=0.5", "samples": 160}
    one = factorize(joined, [{"x": seen}], threads=1, **options).report
    other = factorize(joined, [{"x": seen}], threads=2, batch_size=batch_size, **options).report
    ranks = [[layer.rank for layer in report.layers] for report in (one, other)]
    assert ranks[0] == ranks[1]
    assert one.divergence["predicted"] == pytest.approx(other.divergence["predicted"], rel=1e-3)
    assert one.divergence["holdout"] == pytest.approx(other.divergence["holdout"], rel=1e-3)


def test_a_confident_classifier_without_a_softmax_keeps_its_accuracy_and_size():
    """The bundled model under a name that tells nothing, and surer of itself than it is."""
    reports = []
    for name, gain in (("logits", 1.0), ("output", 3.0)):
        source = model_io.load(BUNDLED)
        (output,) = source.graph.outputs
        output.name = name
        last = output.producer()
        for value in last.inputs[1:]:
            numbers = value.const_value.numpy() * np.float32(gain)
            value.const_value = ir.tensor(numbers, name=value.name)
        with np.load(BUNDLED_DATA) as data:
            feeds = [{"image": data["image"], "label": data["label"]}]
        if name == "output":
            del feeds[0]["label"]
        reports.append(factorize(source, feeds, **OPTIONS).report)
    guessed = reports[1]
    found = guessed.divergence["outputs"]["output"]
    assert (found["kind"], found["guess"]) == ("categorical", True)
    assert found["agreement"] > 0.97
    sizes = [report.model["compressed"].params for report in reports]
    assert sizes[1] == pytest.approx(sizes[0], rel=0.02)
