"""What a program holds, as arrays."""

from __future__ import annotations

import numpy as np
import pytest

from onnx_factorize.calibration.inputs.arrays import RaggedError, as_array, converted
from onnx_factorize.errors import InputError


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (3, np.array(3)),
        (True, np.array(True)),
        ([[1, 2], [3, 4]], np.array([[1, 2], [3, 4]])),
        ([True, False], np.array([True, False])),
        (["a", "bc"], np.array(["a", "bc"])),
        ([np.zeros(2), np.ones(2)], np.array([[0.0, 0], [1, 1]])),
        (np.array([1, 2.5], object), np.array([1, 2.5])),
        (np.array([[1], [2, 3]][:1] * 2, object), np.array([[1], [1]])),
        (np.array(["a", "bc"], object), np.array(["a", "bc"])),
        (np.array([b"a", b"bc"]), np.array(["a", "bc"])),
    ],
)
def test_plain_values(value, wanted):
    found = as_array(value, "here")
    assert found.dtype == wanted.dtype
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("make", ["grad", "bfloat16", "list", "scalar"])
def test_tensors_of_torch(make):
    torch = pytest.importorskip("torch")
    plain = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    value = {
        "grad": plain.clone().requires_grad_(),
        "bfloat16": plain.to(torch.bfloat16),
        "list": [row.clone().requires_grad_() for row in plain],
        "scalar": torch.tensor(1.0, requires_grad=True),
    }[make]
    found = as_array(value, "here")
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, plain[0, 0].numpy() if make == "scalar" else plain.numpy())


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "here is None"),
        ([1, None], "None"),
        ({}, "Python objects"),
        ([{}, 1], "Python objects"),
        (np.array([1, "a"], object), "Python objects"),
        (np.array(["2024-01-01"], "datetime64[D]"), "datetime64"),
    ],
)
def test_what_is_no_array(value, message):
    with pytest.raises(InputError, match=message) as raised:
        as_array(value, "here")
    assert "\n" not in str(raised.value)


def test_rows_of_different_lengths():
    for value in ([[1, 2, 3], [4, 5]], [np.zeros(3), np.zeros(2)]):
        with pytest.raises(RaggedError, match=r"different shapes, \[2\] and \[3\]"):
            as_array(value, "here")


def test_bfloat16_to_float32_and_through_a_file(tmp_path):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    array = np.array([1.5, -2], ml_dtypes.bfloat16)
    wanted = np.dtype(ml_dtypes.bfloat16)
    assert converted(array, np.dtype(np.float32), "x", "x").dtype == np.float32
    np.save(tmp_path / "a.npy", array)
    again = converted(np.load(tmp_path / "a.npy"), wanted, "x", "x")
    np.testing.assert_array_equal(again, array)
