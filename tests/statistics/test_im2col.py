"""Rows of im2col against onnxruntime's Conv, and masking."""

from __future__ import annotations

import hypothesis
import numpy as np
import pytest
from builders import found, model, normal, run
from hypothesis import strategies as st

from onnx_factorize.calibration.positions import unmasked
from onnx_factorize.keyed_random import keys_of
from onnx_factorize.statistics.im2col import channel_rows, convolution_rows, linear_rows

EVERYTHING = 1 << 20


@st.composite
def convolutions(draw):
    rank = draw(st.integers(1, 3))
    kernel = [draw(st.integers(1, 3)) for _ in range(rank)]
    strides = [draw(st.integers(1, 3)) for _ in range(rank)]
    auto_pad = draw(st.sampled_from(["NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"]))
    dilations = [1 if "SAME" in auto_pad else draw(st.integers(1, 2)) for _ in range(rank)]
    groups = draw(st.integers(1, 3))
    each = draw(st.integers(2, 3))
    pads = [draw(st.integers(0, 2)) if auto_pad == "NOTSET" else 0 for _ in range(2 * rank)]
    spatial = [draw(st.integers(5, 8)) for _ in range(rank)]
    padding = f", pads = {pads}" if auto_pad == "NOTSET" else ""
    axes = ", ".join("?" * (rank + 2))
    proto = model(
        f"(float[{axes}] x) => (float[{axes}] y) {{ [c] y = Conv <strides = {strides}, "
        f'dilations = {dilations}, group = {groups}, auto_pad = "{auto_pad}"{padding}> (x, w) }}',
        {"w": normal(1, groups * 4, each, *kernel)},
    )
    return proto, normal(2, 3, groups * each, *spatial)


@hypothesis.settings(max_examples=120)
@hypothesis.given(convolutions())
def test_rows_times_weight_is_the_convolution(case):
    proto, x = case
    target = found(proto)[1].targets[0]
    y = run(proto, {"x": x})[0]
    keys = keys_of(np.arange(len(x)), 0)
    rows = convolution_rows(x, target.convolution, target.groups, EVERYTHING, keys)
    assert rows.shape == (target.groups, y.shape[0] * np.prod(y.shape[2:]), target.rows)
    assert target.convolution.output_shape(x.shape[2:]) == y.shape[2:]
    product = rows @ target.matrices()  # (groups, batch * positions, N)
    wanted = np.moveaxis(y.reshape(len(y), target.groups, target.columns, -1), 0, 2)
    wanted = wanted.reshape(target.groups, target.columns, -1).transpose(0, 2, 1)
    np.testing.assert_allclose(product, wanted, atol=1e-4)


@hypothesis.settings(max_examples=40)
@hypothesis.given(convolutions(), st.integers(1, 6))
def test_sampled_rows_are_rows(case, positions):
    """As many as asked of every sample, without repetition, and each one a row of im2col."""
    proto, x = case
    target = found(proto)[1].targets[0]
    keys = keys_of(np.arange(len(x)), 0)
    arguments = (target.convolution, target.groups)
    all_rows = convolution_rows(x, *arguments, EVERYTHING, keys)
    rows = convolution_rows(x, *arguments, positions, keys)
    each = min(positions, all_rows.shape[1] // len(x))
    assert rows.shape[1] == len(x) * each
    for sample in range(len(x)):
        pool = np.split(all_rows, len(x), axis=1)[sample][0]
        taken = np.split(rows, len(x), axis=1)[sample][0]
        places = [np.flatnonzero((pool == row).all(axis=1)) for row in taken]
        assert all(len(place) for place in places)
    assert rows.flags.c_contiguous


def test_sampled_positions_are_spread_over_the_image():
    """Every position is as likely as every other: none is missed in many draws."""
    proto = model(
        "(float[?, ?, ?, ?] x) => (float[?, ?, ?, ?] y) { [c] y = Conv (x, w) }",
        {"w": normal(1, 4, 2, 1, 1)},
    )
    target = found(proto)[1].targets[0]
    x = np.broadcast_to(np.arange(25, dtype=np.float32).reshape(5, 5), (200, 2, 5, 5))
    rows = convolution_rows(x, target.convolution, 1, 5, keys_of(np.arange(len(x)), 1))
    counts = np.bincount(rows[0, :, 0].astype(int), minlength=25)
    assert counts.sum() == 1000
    assert counts.min() > 15  # 40 expected
    assert counts.max() < 75


def test_linear_rows():
    x = normal(1, 2, 3, 5)
    np.testing.assert_array_equal(linear_rows(x)[0], x.reshape(6, 5))
    np.testing.assert_array_equal(linear_rows(x[0, 0])[0], x[0, :1])
    np.testing.assert_array_equal(linear_rows(x[0], transposed=True)[0], x[0].T)


def test_masked_rows_are_left_out():
    x = normal(1, 2, 3, 5)
    mask = np.array([[1, 1, 0], [1, 0, 0]], bool)
    wanted = np.stack([x[0, 0], x[0, 1], x[1, 0]])
    np.testing.assert_array_equal(linear_rows(x, mask=mask)[0], wanted)
    # Flattened over batch and positions, as exporters write it before a Gemm.
    np.testing.assert_array_equal(linear_rows(x.reshape(6, 5), mask=mask)[0], wanted)
    # One row a sample, as after pooling: nothing to mask.
    np.testing.assert_array_equal(unmasked(x[:, 0], mask), x[:, 0])
    np.testing.assert_array_equal(unmasked(x, None), x)


@pytest.mark.parametrize("groups", [1, 2, 3])
@pytest.mark.parametrize("spatial", [(7,), (3, 4), (2, 3, 2)])
def test_channel_rows(groups, spatial):
    x = normal(1, 2, 6, *spatial)
    keys = keys_of(np.arange(len(x)), 0)
    rows = channel_rows(x, groups, EVERYTHING, keys)
    flat = np.moveaxis(x.reshape(2, 6, -1), 1, 2).reshape(-1, 6)
    wanted = np.stack(np.split(flat, groups, axis=1))
    np.testing.assert_array_equal(rows, wanted)
    few = channel_rows(x, groups, 4, keys)
    assert few.shape == (groups, 8, 6 // groups)
    whole = np.concatenate(list(few), axis=1)  # groups are sampled at the same positions
    assert all((flat == row).all(axis=1).any() for row in whole)
