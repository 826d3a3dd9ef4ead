"""Balanced factors have the same product, and the same scale."""

from __future__ import annotations

import types

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from onnx_factorize.factorization.balance import balanced
from onnx_factorize.passes import Factors


def _target(name, *tied):
    target = types.SimpleNamespace(name=name, tied=tied)
    target.uses = (target, *tied)
    return target


@given(st.integers(0, 10**6), st.integers(1, 3), st.integers(1, 6))
def test_the_product_stays_and_scales_agree(seed, groups, rank):
    rng = np.random.default_rng(seed)
    scales = 10.0 ** rng.uniform(-2, 2, size=rank)
    down = rng.normal(size=(groups, 9, rank)) * scales
    up = rng.normal(size=(groups, rank, 7))
    found = balanced({"a": Factors(down, up)}, [_target("a")])["a"]
    product = down @ up
    np.testing.assert_allclose(found.down @ found.up, product, atol=1e-10 * np.abs(product).max())
    left = found.down.transpose(0, 2, 1) @ found.down
    right = found.up @ found.up.transpose(0, 2, 1)
    np.testing.assert_allclose(left, right, atol=1e-9 * left.max())
    np.testing.assert_allclose(left, left * np.eye(rank), atol=1e-9 * left.max())


def test_what_is_shared_or_in_three_stays():
    rng = np.random.default_rng(0)
    plain = Factors(rng.normal(size=(1, 4, 2)), rng.normal(size=(1, 2, 4)))
    tucker = Factors(plain.down, plain.up, core=rng.normal(size=(1, 2, 9, 2)))
    other = _target("b")
    cut = [_target("a", other), _target("c")]
    found = balanced({"a": plain, "b": plain, "c": tucker}, cut)
    assert found == {"a": plain, "b": plain, "c": tucker}
