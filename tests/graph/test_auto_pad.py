"""Automatic padding, against the sizes that onnxruntime gives."""

from __future__ import annotations

import math

import hypothesis
from hypothesis import strategies as st

from onnx_factorize.graph.auto_pad import padding


@hypothesis.given(st.integers(1, 40), st.integers(1, 9), st.integers(1, 5))
def test_same_has_a_window_for_each_stride_and_no_more_padding_than_that_takes(size, span, stride):
    for mode in ("SAME_UPPER", "SAME_LOWER"):
        (before,), (after,) = padding(mode, (), [size], [span], [stride])
        windows = math.ceil(size / stride)
        assert (size + before + after - span) // stride + 1 >= windows
        if before + after:
            assert (windows - 1) * stride + span == size + before + after
        assert after - before in ((0, 1) if mode == "SAME_UPPER" else (0, -1))


def test_what_is_given_is_parted_and_valid_has_none():
    assert padding("NOTSET", (1, 2, 3, 4), [9, 9], [3, 3], [1, 1]) == ([1, 2], [3, 4])
    assert padding("VALID", (1, 2, 3, 4), [9, 9], [3, 3], [1, 1]) == ([0, 0], [0, 0])
