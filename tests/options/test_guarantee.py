"""Guarantees as they are asked for."""

from __future__ import annotations

import pytest

from onnx_factorize.errors import InputError
from onnx_factorize.options import Guarantee, guarantee_asked


@pytest.mark.parametrize(
    ("text", "metric", "asked"),
    [
        ("top1=0.99", "top1", 0.99),
        ("agreement = 98%", "agreement", 0.98),
        ("my.module:metric=.5", "my.module:metric", 0.5),
    ],
)
def test_a_guarantee_is_parsed(text, metric, asked):
    assert Guarantee.parse(text) == Guarantee(metric, asked)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("top1", "form"),
        ("top1=", "form"),
        ("=0.9", "form"),
        ("top1=most", "form"),
        ("top1=1", "between 0 and 1"),
        ("top1=0", "between 0 and 1"),
    ],
)
def test_what_is_no_guarantee(text, word):
    with pytest.raises(InputError, match=word):
        Guarantee.parse(text)


def test_one_guarantee_and_no_budget():
    assert guarantee_asked({"max_divergence": 0.5}) == Guarantee("divergence", 0.5)
    assert guarantee_asked({"max_divergence": None, "keep": None, "budget": "params=0.5"}) is None
    for given in (
        {"max_divergence": 0.5, "keep": "top1=0.9"},
        {"keep": "top1=0.9", "budget": "params=0.5"},
        {"max_divergence": 0.0},
        {"max_divergence": float("nan")},
    ):
        with pytest.raises(InputError):
            guarantee_asked(given)
