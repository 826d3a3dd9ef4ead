"""Identity blocks hold what two factors hold, and are chosen by what rounding makes of them."""

from __future__ import annotations

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from onnx_factorize.passes.identity_blocks.choose import (
    amplification,
    choose_block,
    identity_blocks,
)

SIDES = ("input", "output")


@st.composite
def factor_pairs(draw, deficient=True):
    """Two factors, perhaps of a lower rank than theirs, badly scaled, or with zeros."""
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    rows, columns = draw(st.integers(2, 24)), draw(st.integers(2, 24))
    rank = draw(st.integers(1, min(rows, columns)))
    down, up = rng.standard_normal((rows, rank)), rng.standard_normal((rank, columns))
    kind = draw(st.sampled_from(["plain", "scaled", "components", "deficient", "zeros", "nothing"]))
    if kind == "scaled":
        down *= 10.0 ** rng.uniform(-4, 4, (rows, 1))
        up *= 10.0 ** rng.uniform(-4, 4, columns)
    elif kind == "components":
        scale = 10.0 ** rng.uniform(-6, 6, rank)
        down, up = down * scale, up / scale[:, None]
    elif kind == "deficient" and deficient:
        up[rng.integers(rank) :] = up[0]
    elif kind == "zeros" and deficient:
        down[: rng.integers(rows)] = 0
        up[:, rng.integers(columns) :] = 0
    elif kind == "nothing" and deficient:
        down[:] = 0
    return down, up


@hypothesis.settings(max_examples=100)
@hypothesis.given(factor_pairs(), st.sampled_from(SIDES))
def test_every_block_is_the_product(pair, side):
    down, up = pair
    product = down @ up
    for block in identity_blocks(down, up, side):
        first, last = block.factors
        assert (first.shape, last.shape) == (down.shape, up.shape)
        held = last if side == "output" else first.T
        np.testing.assert_array_equal(held[:, block.start :][:, : block.rank], np.eye(block.rank))
        stored = block.matrix.size + block.before.size + block.after.size
        assert stored == block.rank * (len(down) + up.shape[1] - block.rank)
        sizes = np.linalg.norm(product, axis=0)
        # As exact as its condition says: in the smallest of columns that differ by far, too.
        unit = np.finfo(np.float64).eps * amplification(first, last, sizes)
        worst = np.abs(first @ last - product).max() / max(np.abs(product).max(), 1e-300)
        assert worst <= max(1e3 * unit, 1e-7)


@hypothesis.settings(max_examples=100)
@hypothesis.given(factor_pairs())
def test_what_is_chosen_computes_in_single_precision_what_the_pair_computes(pair):
    down, up = pair
    block = choose_block(down, up, np.float32, SIDES)
    if block is None:
        return
    x = np.random.default_rng(0).standard_normal((16, len(down)))
    wanted = x @ down @ up
    first, last = (each.astype(np.float32) for each in block.factors)
    got = (x.astype(np.float32) @ first) @ last
    assert np.abs(got - wanted).max() <= 1e-4 * np.abs(wanted).max()


def test_ends_are_taken_where_nothing_between_is_clearly_better():
    rng = np.random.default_rng(1)
    block = choose_block(
        rng.standard_normal((64, 24)), rng.standard_normal((24, 96)), np.float32, SIDES
    )
    assert block is not None
    assert block.side == "input"
    assert block.start in (0, 40)


def test_a_window_between_the_ends_is_taken_where_these_are_dependent():
    rng = np.random.default_rng(2)
    down, up = rng.standard_normal((32, 8)), rng.standard_normal((8, 32))
    up[:, :8] = up[:, :1] * (1 + 1e-7 * rng.standard_normal(8))
    up[:, 24:] = up[:, -1:] * (1 + 1e-7 * rng.standard_normal(8))
    block = choose_block(down, up, np.float32, ["output"])
    assert block is not None
    assert 0 < block.start < 24


def test_no_block_where_every_window_is_dependent():
    rng = np.random.default_rng(3)
    down, columns = rng.standard_normal((12, 4)), rng.standard_normal((4, 3))
    # Each window of four holds one column twice, and the factors have rank four by the last alone.
    up = np.concatenate([np.repeat(columns, 4, axis=1), rng.standard_normal((4, 1))], axis=1)
    assert choose_block(down, up, np.float32, ["output"]) is None
    assert choose_block(down, up, np.float32, SIDES).side == "input"


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_no_block_of_numbers_that_are_not_finite(value):
    down, up = np.ones((4, 2)), np.full((2, 4), value)
    assert choose_block(down, up, np.float32, SIDES) is None


def test_half_precision_allows_less():
    rng = np.random.default_rng(4)
    down, up = rng.standard_normal((96, 48)), rng.standard_normal((48, 96))
    assert choose_block(down, up, np.float32, SIDES) is not None
    assert choose_block(down, up, np.float16, SIDES) is None
