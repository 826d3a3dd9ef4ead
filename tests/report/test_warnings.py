"""What a run warns of, and whether its advice helps."""

from __future__ import annotations

import re

import pytest
from builders import model, normal

from onnx_factorize import factorize

WIDE = 64


def _too_few(available: int, samples: int) -> str | None:
    """The warning of too few samples for a product of that width, if there is one."""
    text = "(float[b, 64] x) => (float[b, 96] y) { [a] y = MatMul (x, w) }"
    proto = model(text, {"w": normal(1, WIDE, 96)})
    data = [{"x": normal(2, available, WIDE)}]
    found = factorize(proto, data, weighting="activation", samples=samples, threads=1).report
    return next((text for text in found.warnings if "too few" in text), None)


def test_the_advice_on_samples_ends_the_warning():
    warning = _too_few(1000, 30)
    assert warning is not None
    advice = re.search(r"give --samples (\d+)", warning)
    assert advice is not None, warning
    assert _too_few(1000, int(advice[1])) is None
    # It asks for little more than what is needed: 64 of 80 samples are not held out.
    assert WIDE / 0.8 <= int(advice[1]) <= 2 * WIDE / 0.8


@pytest.mark.parametrize(("available", "words"), [(30, "the data hold 30."), (50, "--samples 50.")])
def test_samples_that_the_data_do_not_hold_are_not_asked_for(available, words):
    warning = _too_few(available, 30)
    assert warning is not None
    assert warning.endswith(words)


def test_operators_without_a_gradient_are_counted_once():
    """Each convolution has several unfoldings."""
    text = (
        "(float[b, 8, 8, 8] x) => (float[b, 8, 6, 6] y, float[b, 8, 8, 8] z) "
        "{ [first] h = Conv (x, w) k = Round (h) y = Identity (k) z = Relu (x) }"
    )
    proto = model(text, {"w": normal(1, 8, 8, 3, 3)})
    data = [{"x": normal(2, 16, 8, 8, 8)}]
    report = factorize(proto, data, budget="params=0.9", samples=16, threads=1).report
    warning = next(text for text in report.warnings if "no gradient" in text)
    assert warning.startswith("1 of the operators")
    assert "'first'" in warning


def test_an_operator_whose_moments_leave_no_room_is_named():
    text = "(float[b, 64] x) => (float[b, 96] y) { [a] y = MatMul (x, w) }"
    proto, data = model(text, {"w": normal(1, WIDE, 96)}), [{"x": normal(2, 160, WIDE)}]
    found = factorize(proto, data, weighting="activation", threads=1, memory="1MB").report.warnings
    # Two moments of four folds and of all, 64 x 64 of eight bytes each.
    (warning,) = [text for text in found if "--memory" in text]
    assert warning.startswith(
        "The moments of 'a' alone took 327.68 kB, and --memory leaves 250.00 kB"
    )
    found = factorize(proto, data, weighting="activation", threads=1, memory="2MB").report
    assert not [text for text in found.warnings if "--memory" in text]
