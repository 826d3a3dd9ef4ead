"""Which positions hold data, by what a mask is known to mean."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from builders import model

from onnx_factorize.calibration import Signature
from onnx_factorize.calibration.masks import Padding, given_padding
from onnx_factorize.errors import InputError

WANTED = np.array([[True, True, False], [True, False, False]])


@pytest.mark.parametrize(
    ("means", "array"),
    [
        ("keep", WANTED),
        ("keep", WANTED.astype(np.int64)),
        ("keep", WANTED[:, None, None].astype(np.float32)),
        ("drop", ~WANTED),
        ("drop", np.where(WANTED, 0, -1e9).astype(np.float32)),
        ("drop", np.where(WANTED, 0, -np.inf)[:, None, None].astype(np.float32)),
        # Each position sees itself and what is before it.
        ("drop", np.where(WANTED[:, None] & np.tri(3, dtype=bool), 0, -1e9)[:, None]),
    ],
)
def test_positions(means, array):
    np.testing.assert_array_equal(Padding("m", means).mask({"m": array}, 2), WANTED)


@pytest.mark.parametrize("ends", [np.array([2, 1]), np.array([[2], [1]])])
def test_lengths(ends):
    padding = Padding("n", "lengths", length_of="x")
    feeds = {"x": np.zeros((2, 3, 5)), "n": ends}
    np.testing.assert_array_equal(padding.mask(feeds, 2), WANTED)


def test_a_mask_that_all_samples_share_and_none_at_all():
    feeds = {"m": WANTED[:1]}
    np.testing.assert_array_equal(Padding("m", "keep").mask(feeds, 3), np.repeat(WANTED[:1], 3, 0))
    assert Padding().mask(feeds, 3) is None
    assert Padding("other", "keep").mask(feeds, 3) is None


def _given(**given):
    inputs = "int64[b, s] ids, int64[b, s] m, int64[b] n, float rate"
    proto = model(f"({inputs}) => (int64[b, s] y) {{ y = Neg (ids) }}")
    return given_padding(Signature.of(ir.from_proto(proto)), given)


def test_what_the_user_says():
    assert _given() is None
    assert _given(m="none") is None
    assert _given(m="drop") == Padding("m", "drop", "given")
    assert _given(m="none", n="keep") == Padding("n", "lengths", "given", length_of="ids")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"z": "keep"}, "names 'z', but the model's inputs are ids, m, n, rate"),
        ({"m": "yes"}, "use keep, drop or none"),
        ({"n": "drop"}, "lengths of data can only be kept"),
        ({"rate": "keep"}, "a mask has a row"),
    ],
)
def test_what_cannot_be_meant(given, message):
    with pytest.raises(InputError, match=message):
        _given(**given)
