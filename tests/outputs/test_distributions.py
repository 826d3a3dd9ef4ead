"""Divergences against direct formulas."""

from __future__ import annotations

import numpy as np
import pytest
from builders import distribution, normal

from onnx_factorize.calibration import Batch
from onnx_factorize.evaluation import Divergences
from onnx_factorize.outputs import categorical, class_axis
from onnx_factorize.passes import OutputKind

LOGITS = OutputKind("categorical", -1, "logit")
PLAIN = OutputKind("gaussian")


def _softmax(x, axis=-1):
    e = np.exp(x.astype(np.float64) - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


P, Q = normal(1, 4, 5, 3) * 2, normal(2, 4, 5, 3) * 2
MASK = np.array([[1, 1, 1, 1, 0], [1, 1, 0, 0, 0], [1, 1, 1, 1, 1], [1, 0, 0, 0, 0]], bool)


def _compared(kind, p, q, mask=None, batches=1):
    found = Divergences({"y": distribution(kind, p, mask)})
    for index in np.array_split(np.arange(len(p)), batches):
        part = None if mask is None else mask[index]
        found.add(Batch({}, len(index), None, "", index, part), {"y": p[index]}, {"y": q[index]})
    return found.totals["y"]


def _kl(p, q, axis=-1):
    return (p * np.log(p / q)).sum(axis)


@pytest.mark.parametrize("batches", [1, 3])
@pytest.mark.parametrize("scale", ["logit", "probability", "log-probability"])
def test_categorical(scale, batches):
    p, q = _softmax(P), _softmax(Q)
    given = {"logit": (P, Q), "probability": (p, q), "log-probability": (np.log(p), np.log(q))}
    kind = OutputKind("categorical", -1, scale)
    total = _compared(kind, *given[scale], batches=batches)
    assert total.divergence == pytest.approx(_kl(p, q).mean(), rel=1e-6)
    assert total.predictions.sum() == 20
    assert total.agreement == pytest.approx((P.argmax(-1) == Q.argmax(-1)).mean())


def test_logits_may_be_large_and_shifted():
    total = _compared(LOGITS, P + 1e4, Q - 1e4)
    assert total.divergence == pytest.approx(_kl(_softmax(P), _softmax(Q)).mean(), rel=1e-2)


@pytest.mark.parametrize("axis", [1, 2, -1, None])
def test_the_class_axis(axis):
    """Given, or looked for where the graph does not tell."""
    moved = 1 if axis == 1 else 2
    p, q = _softmax(P, moved), _softmax(Q, moved)
    total = _compared(OutputKind("categorical", axis), p, q)
    assert total.divergence == pytest.approx(_kl(p, q, moved).mean(), rel=1e-6)
    assert total.predictions.sum() == p.size // p.shape[moved]


def test_a_map_of_classes_agrees_along_axis_one():
    p, q = normal(1, 2, 7, 4, 5), normal(2, 2, 7, 4, 5)
    total = _compared(OutputKind("categorical", 1, "logit"), p, q)
    assert total.agreement == pytest.approx((p.argmax(1) == q.argmax(1)).mean())


@pytest.mark.parametrize("axis", [-1, 2, None])
def test_masked_positions_do_not_count(axis):
    """Also where the class axis is counted from the front, as Softmax<axis = 2> gives it."""
    p, q = _softmax(P), _softmax(Q)
    q = np.where(MASK[..., None], q, 1 / 3)
    total = _compared(OutputKind("categorical", axis), p, q, MASK, batches=2)
    assert total.divergence == pytest.approx(_kl(p, q)[MASK].mean(), rel=1e-6)
    assert total.predictions.sum() == MASK.sum()


def test_zero_probabilities_are_finite():
    p = np.array([[1.0, 0.0]])
    assert 20 < _compared(OutputKind("categorical", -1), p, p[:, ::-1]).divergence < 40
    assert _compared(OutputKind("categorical", -1), p, p).divergence == 0


def test_forbidden_classes():
    """Logits of minus infinity: probability zero in both models, so nothing diverges there."""
    p = np.array([[0.0, 1.0, -np.inf]])
    q = np.array([[0.0, 0.0, -np.inf]])
    a, b = _softmax(p[:, :2]), _softmax(q[:, :2])
    total = _compared(LOGITS, p, q)
    assert total.divergence == pytest.approx(float(_kl(a, b).mean()))


@pytest.mark.parametrize("batches", [1, 2])
def test_bernoulli(batches):
    p, q = 1 / (1 + np.exp(-P)), 1 / (1 + np.exp(-Q))
    kind = OutputKind("bernoulli")
    total = _compared(kind, p, q, batches=batches)
    wanted = (p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))).mean()
    assert total.divergence == pytest.approx(wanted, rel=1e-5)
    assert total.agreement is None
    hard = (p > 0.5).astype(np.float32)
    assert np.isfinite(_compared(kind, hard, 1 - hard).divergence)


@pytest.mark.parametrize("batches", [1, 2])
def test_gaussian_is_half_of_the_relative_squared_error(batches):
    p, q = normal(1, 200, 3) * 2 + 5, normal(2, 200, 3) * 2 + 5
    total = _compared(PLAIN, p, q, batches=batches)
    wanted = 0.5 * np.square(p - q).mean() / p.astype(np.float64).var(axis=0).mean()
    assert total.divergence == pytest.approx(wanted, rel=1e-4)


def test_what_does_not_move_is_measured_in_its_own_size():
    same = np.full((30, 2), 7.0)
    output = distribution(PLAIN, same)
    assert "does not move" in output.remark
    assert output.compare(same, same, 30).divergence == 0
    assert output.compare(same, same + 7, 30).divergence == pytest.approx(0.5)


def test_numbers_that_are_not_finite_are_infinitely_far():
    for kind in (PLAIN, LOGITS, OutputKind("bernoulli")):
        p = _softmax(P)
        for bad in (np.nan, np.inf):
            q = p.copy()
            q[0, 0, 0] = bad
            if kind.kind == "bernoulli" and bad == np.inf:
                continue  # clipped: certain
            found = distribution(kind, p).compare(p, q, len(p))
            assert found.divergence == np.inf, (kind, bad)


def test_equal_models_do_not_diverge():
    for kind in ("gaussian", "bernoulli", "categorical"):
        data = _softmax(P)
        assert _compared(OutputKind(kind, -1), data, data).divergence == pytest.approx(0, abs=1e-12)


def test_what_softmax_does_not_see_counts_where_classes_are_a_guess():
    guess = OutputKind("categorical", -1, "logit", certain=False)
    p = normal(1, 300, 4)
    sure, unsure = distribution(LOGITS, p), distribution(guess, p)
    shift = np.full_like(p, 0.3)
    assert sure.compare(p, p + shift, 300).divergence == pytest.approx(0, abs=1e-9)
    # One direction of four, in units of its own variance.
    wanted = 0.3**2 / (2 * p.astype(np.float64).mean(-1).var()) / 4
    assert unsure.compare(p, p + shift, 300).divergence == pytest.approx(wanted, rel=1e-4)


def test_class_axis_of_what_does_not_sum_to_one():
    assert class_axis(P) == -1
    assert class_axis(_softmax(P, 0)) == 0


@pytest.mark.parametrize("axis", [1, -1])
def test_a_vocabulary_is_compared_few_positions_at_a_time(axis, monkeypatch):
    kind = OutputKind("categorical", axis, "logit")
    output = distribution(kind, P)
    mask = MASK if axis == -1 else None
    whole = output.compare(P, Q, len(P), mask)
    doubled = []
    divergence = categorical.Categorical._divergence
    monkeypatch.setattr(
        categorical.Categorical,
        "_divergence",
        lambda self, p, q: (doubled.append(p.shape), divergence(self, p, q))[1],
    )
    monkeypatch.setattr(categorical, "_AT_ONCE", 2 * P.shape[axis])
    found = output.compare(P, Q, len(P), mask)
    assert {shape[0] for shape in doubled} <= {1, 2}
    assert len(doubled) > 5
    np.testing.assert_allclose(found.divergences, whole.divergences, rtol=1e-12)
    np.testing.assert_array_equal(found.agreements, whole.agreements)
