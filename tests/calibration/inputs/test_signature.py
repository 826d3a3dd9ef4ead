"""Whether data fit a model, and what is converted."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from builders import model

from onnx_factorize.calibration import Signature
from onnx_factorize.errors import InputError


def _signature(inputs):
    return Signature.of(ir.from_proto(model(f"({inputs}) => (float[?] y) {{ y = Neg (x) }}")))


@pytest.mark.parametrize(
    ("inputs", "batched", "batch"),
    [
        ("float[batch, 3] x", True, None),
        ("float[?, 3] x", True, None),
        ("float[1, 3] x", True, 1),
        ("float[8, 3] x", True, 8),
        ("float[b, 3] x, int64[b, n] z", True, None),
        ("float[b, 3] x, int64[c] z", False, None),
        ("float[b, 3] x, int64 z", False, None),
        ("float[sequence, 3] x", False, None),
        ("float[seq_len, b] x", False, None),
        ("float x", False, None),
    ],
)
def test_batches(inputs, batched, batch):
    signature = _signature(inputs)
    assert (signature.batched, signature.batch) == (batched, batch)


def test_inputs_with_a_default_need_no_data():
    proto = model(
        "(float[b, 3] x, float[3] scale) => (float[b, 3] y) { y = Mul (x, scale) }",
        {"scale": np.ones(3, np.float32)},
    )
    assert [spec.name for spec in Signature.of(ir.from_proto(proto)).inputs] == ["x"]


def test_an_input_that_is_no_tensor():
    proto = model("(seq(float[3]) x) => (int64 y) { y = SequenceLength (x) }")
    with pytest.raises(InputError, match="'x' is not a tensor"):
        Signature.of(ir.from_proto(proto))


@pytest.mark.parametrize(
    ("kind", "given", "wanted"),
    [
        ("float", np.float64, np.float32),
        ("float", np.float16, np.float32),
        ("float16", np.float32, np.float16),
        ("double", np.float32, np.float64),
        ("int64", np.int32, np.int64),
        ("int32", np.int64, np.int32),
        ("int64", np.uint8, np.int64),
        ("int64", bool, np.int64),
        ("bool", np.int64, bool),
    ],
)
def test_safe_conversions(kind, given, wanted):
    array = np.array([[1, 0]], given)
    fitted = _signature(f"{kind}[b, 2] x").conform({"x": array}, "here")
    assert fitted["x"].dtype == wanted
    np.testing.assert_array_equal(fitted["x"], array)


@pytest.mark.parametrize(
    ("kind", "array"),
    [
        ("float", np.zeros((1, 2), np.uint8)),
        ("float", np.zeros((1, 2), np.int64)),
        ("int64", np.zeros((1, 2), np.float32)),
        ("float", np.zeros((1, 2), bool)),
        ("float", np.zeros((1, 2), np.complex64)),
        ("float", np.array([["1", "2"]])),
        ("bool", np.array([[2, 0]])),
        ("bool", np.zeros((1, 2), np.float32)),
        ("int32", np.array([[2**40, 0]])),
        ("float", np.array([[1e39, 0]])),
        ("uint8", np.array([[-1, 0]])),
        ("float", np.zeros((1, 3), np.float32)),
        ("float", np.zeros((1, 2, 1), np.float32)),
        ("float", np.zeros((), np.float32)),
        ("float", np.zeros((0, 2), np.float32)),
    ],
)
def test_refused_with_the_names_of_file_and_input(kind, array):
    with pytest.raises(InputError, match=r"some/file\.npz: input 'x'") as raised:
        _signature(f"{kind}[b, 2] x").conform({"x": array}, "some/file.npz")
    assert "\n" not in str(raised.value)


def test_a_missing_input_lists_what_is_there():
    with pytest.raises(InputError, match=r"f\.npz has no array for .* 'x'; it holds 'image'"):
        _signature("float[b, 2] x").conform({"image": np.zeros((1, 2))}, "f.npz")


def test_different_numbers_of_samples():
    arrays = {"x": np.zeros((3, 2), np.float32), "z": np.zeros((4, 2), np.float32)}
    with pytest.raises(InputError, match="'x' 3, 'z' 4"):
        _signature("float[b, 2] x, float[b, 2] z").conform(arrays, "f.npz")


def test_one_sample_gets_its_batch_axis():
    fitted = _signature("float[b, 2] x").conform({"x": np.zeros(2, np.float32)}, "f")
    assert fitted["x"].shape == (1, 2)
    with pytest.raises(InputError):
        _signature("float[4, 2] x").conform({"x": np.zeros(2, np.float32)}, "f")


def test_nothing_declared_takes_anything():
    proto = model("(float[2] x) => (float y) { y = Neg (x) }")
    proto.graph.input[0].type.tensor_type.ClearField("shape")
    signature = Signature.of(ir.from_proto(proto))
    assert signature.inputs[0].dims is None
    assert not signature.batched
    assert signature.conform({"x": np.zeros((2, 3, 4))}, "f")["x"].shape == (2, 3, 4)


@pytest.mark.parametrize("kind", ["float", "double", "float16"])
def test_nan_is_data(kind):
    """Whether it is an error, the model decides."""
    fitted = _signature(f"{kind}[b, 2] x").conform({"x": np.array([[np.nan, 0]])}, "f")
    np.testing.assert_array_equal(fitted["x"], [[np.nan, 0]])


def test_an_empty_open_axis_is_data_and_no_other():
    signature = _signature("int64[b, 3] x, float[b, 2, past, 4] cache")
    arrays = {"x": np.zeros((5, 3), int), "cache": np.zeros((5, 2, 0, 4))}
    assert signature.conform(arrays, "f")["cache"].shape == (5, 2, 0, 4)
    for shape in ((5, 2, 3, 0), (0, 2, 3, 4)):
        with pytest.raises(InputError, match="'cache'"):
            signature.conform(arrays | {"cache": np.zeros(shape)}, "f")
    with pytest.raises(InputError, match="is empty"):
        _signature("int64[b, n] x").conform({"x": np.zeros((5, 0), int)}, "f")


def test_inputs_that_may_be_left_out():
    proto = model("(float[b, 3] x, optional(float[b, 3]) o) => (float[b, 3] y) { y = Neg (x) }")
    signature = Signature.of(ir.from_proto(proto))
    assert [spec.name for spec in signature.inputs] == ["x"]
    x = np.zeros((2, 3), np.float32)
    assert set(signature.conform({"x": x}, "f")) == {"x"}
    assert set(signature.conform({"x": x, "o": None}, "f")) == {"x"}
    assert set(signature.conform({"x": x, "o": x}, "f")) == {"x", "o"}
    with pytest.raises(InputError, match="'o'"):
        signature.conform({"x": x, "o": x[:, :2]}, "f")
    sequence = model(
        "(float[b, 3] x, optional(seq(float[3])) o) => (float[b, 3] y) { y = Neg (x) }"
    )
    with pytest.raises(InputError, match="'o' is not a tensor"):
        Signature.of(ir.from_proto(sequence))


def test_an_input_with_a_default_is_fed_where_the_data_have_it():
    proto = model(
        "(float[b, 3] x, float[3] scale) => (float[b, 3] y) { y = Mul (x, scale) }",
        {"scale": np.ones(3, np.float32)},
    )
    signature = Signature.of(ir.from_proto(proto))
    fitted = signature.conform({"x": np.zeros((2, 3)), "scale": np.arange(3.0)}, "f")
    np.testing.assert_array_equal(fitted["scale"], [0, 1, 2])
    assert signature.shared == {"scale"}
    proto.ir_version = 3  # where all weights are inputs too, and none of them data
    assert Signature.of(ir.from_proto(proto)).everything == signature.inputs


def test_columns_of_a_table():
    """A value a row, as scikit-learn's exports want it, without the axis of length 1."""
    signature = _signature("float[b, 1] x, string[b, 1] z")
    fitted = signature.conform({"x": np.arange(3.0), "z": ["red", "green", "blue"]}, "f")
    np.testing.assert_array_equal(fitted["x"], [[0], [1], [2]])
    np.testing.assert_array_equal(fitted["z"], [["red"], ["green"], ["blue"]])
    row = signature.conform({"x": 0.5, "z": "red"}, "f")
    assert (row["x"].shape, row["z"].shape) == ((1, 1), (1, 1))


@pytest.mark.parametrize(
    "z",
    [np.array([b"a", b"bc"]), np.array(["a", "bc"], object), ["a", "bc"], np.array(["a", "bc"])],
)
def test_texts(z):
    np.testing.assert_array_equal(
        _signature("string[b] z").conform({"z": z}, "f")["z"], ["a", "bc"]
    )
    with pytest.raises(InputError, match="'x' is"):
        _signature("float[b] x").conform({"x": z}, "f")
