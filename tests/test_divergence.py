"""Divergences against direct formulas."""

from __future__ import annotations

import numpy as np
import pytest
from builders import normal

from onnx_factorize.divergence import DivergenceSum, class_axis
from onnx_factorize.passes import OutputKind


def _softmax(x, axis=-1):
    e = np.exp(x.astype(np.float64) - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


P, Q = normal(1, 4, 5, 3) * 2, normal(2, 4, 5, 3) * 2
MASK = np.array([[1, 1, 1, 1, 0], [1, 1, 0, 0, 0], [1, 1, 1, 1, 1], [1, 0, 0, 0, 0]], bool)


def _value(kind, p, q, mask=None, parts=1):
    total = DivergenceSum(kind)
    for index in np.array_split(np.arange(len(p)), parts):
        total.add(p[index], q[index], None if mask is None else mask[index])
    return total


def _kl(p, q, axis=-1):
    return (p * np.log(p / q)).sum(axis)


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("scale", ["logit", "probability", "log-probability"])
def test_categorical(scale, parts):
    p, q = _softmax(P), _softmax(Q)
    given = {"logit": (P, Q), "probability": (p, q), "log-probability": (np.log(p), np.log(q))}
    total = _value(OutputKind("categorical", -1, scale), *given[scale], parts=parts)
    assert total.value == pytest.approx(_kl(p, q).mean(), rel=1e-6)
    assert total.predictions == 20
    assert total.agreement == pytest.approx((P.argmax(-1) == Q.argmax(-1)).mean())


def test_logits_may_be_large_and_shifted():
    total = _value(OutputKind("categorical", -1, "logit"), P + 1e4, Q - 1e4)
    assert total.value == pytest.approx(_kl(_softmax(P), _softmax(Q)).mean(), rel=1e-2)


@pytest.mark.parametrize("axis", [1, 2, -1, None])
def test_the_class_axis(axis):
    """Given, or looked for where the graph does not tell."""
    moved = 1 if axis == 1 else 2
    p, q = _softmax(P, moved), _softmax(Q, moved)
    total = _value(OutputKind("categorical", axis), p, q)
    assert total.value == pytest.approx(_kl(p, q, moved).mean(), rel=1e-6)
    assert total.predictions == p.size // p.shape[moved]


@pytest.mark.parametrize("axis", [-1, 2, None])
def test_masked_positions_do_not_count(axis):
    """Also where the class axis is counted from the front, as Softmax<axis = 2> gives it."""
    p, q = _softmax(P), _softmax(Q)
    q = np.where(MASK[..., None], q, 1 / 3)
    total = _value(OutputKind("categorical", axis), p, q, MASK, parts=2)
    assert total.value == pytest.approx(_kl(p, q)[MASK].mean(), rel=1e-6)
    assert total.predictions == MASK.sum()


def test_zero_probabilities_are_finite():
    p = np.array([[1.0, 0.0]])
    total = _value(OutputKind("categorical", -1), p, p[:, ::-1])
    assert 20 < total.value < 40
    assert _value(OutputKind("categorical", -1), p, p).value == 0


def test_forbidden_classes():
    """Logits of minus infinity: probability zero in both models, so nothing diverges there."""
    p = np.array([[0.0, 1.0, -np.inf]])
    q = np.array([[0.0, 0.0, -np.inf]])
    a, b = _softmax(p[:, :2]), _softmax(q[:, :2])
    total = _value(OutputKind("categorical", -1, "logit"), p, q)
    assert total.value == pytest.approx(float(_kl(a, b).mean()))


@pytest.mark.parametrize("parts", [1, 2])
def test_bernoulli(parts):
    p, q = 1 / (1 + np.exp(-P)), 1 / (1 + np.exp(-Q))
    total = _value(OutputKind("bernoulli"), p, q, parts=parts)
    wanted = (p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))).mean()
    assert total.value == pytest.approx(wanted, rel=1e-5)
    assert total.agreement is None
    hard = (p > 0.5).astype(np.float32)
    assert np.isfinite(_value(OutputKind("bernoulli"), hard, 1 - hard).value)


@pytest.mark.parametrize("parts", [1, 2])
def test_gaussian_is_half_of_the_relative_squared_error(parts):
    total = _value(OutputKind("gaussian"), P + 5, Q + 5, parts=parts)
    wanted = 0.5 * np.square(P - Q).mean() / P.astype(np.float64).var()
    assert total.value == pytest.approx(wanted, rel=1e-4)


def test_gaussian_of_a_constant():
    same = np.full((3, 2), 7.0)
    assert _value(OutputKind("gaussian"), same, same).value == 0
    assert _value(OutputKind("gaussian"), same, same + 1).value == np.inf


def test_equal_models_do_not_diverge():
    for kind in ("gaussian", "bernoulli", "categorical"):
        data = _softmax(P)
        assert _value(OutputKind(kind), data, data).value == pytest.approx(0, abs=1e-12)


def test_nothing_seen():
    assert DivergenceSum(OutputKind("gaussian")).value == 0
    assert DivergenceSum(OutputKind("categorical")).agreement is None


def test_class_axis_of_what_does_not_sum_to_one():
    assert class_axis(P) == -1
    assert class_axis(_softmax(P, 0)) == 0
