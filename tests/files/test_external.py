"""Weights in other files: the links that caches of models are made of, and threads."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from builders import W_LARGE, model

from onnx_factorize.errors import InputError
from onnx_factorize.files import model_io
from onnx_factorize.files.external import SharedTensor, external_files

BODY = "(float[batch, 64] x) => (float[batch, 96] y) { h = MatMul (x, w1) y = Add (h, b1) }"


@pytest.fixture
def saved(tmp_path):
    """A folder with a model and its weights, and a store beside it."""
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "store").mkdir()
    proto = model(BODY, {"w1": W_LARGE["w1"], "b1": W_LARGE["b1"]})
    model_io.save(model_io.load(proto), folder / "m.onnx", external=True)
    return folder


def _moved(path, linked):
    """Moves a file to the store, and leaves a link in its place."""
    stored = path.parent.parent / "store" / path.name.replace(".", "")
    shutil.move(path, stored)
    linked(stored, path)


def _is_whole(loaded):
    found = loaded.graph.initializers["w1"].const_value.numpy()
    np.testing.assert_array_equal(found, W_LARGE["w1"])


@pytest.mark.parametrize("linked", [os.symlink, os.link])
@pytest.mark.parametrize("names", [["m.onnx"], ["m.onnx.data"], ["m.onnx", "m.onnx.data"]])
def test_weights_behind_links(linked, names, saved):
    for name in names:
        _moved(saved / name, linked)
    loaded = model_io.load(saved / "m.onnx")
    _is_whole(loaded)
    model_io.save(loaded, saved / "again.onnx", external=True)
    _is_whole(model_io.load(saved / "again.onnx"))


def test_weights_beside_the_file_that_the_models_name_is_a_link_to(saved, tmp_path):
    (tmp_path / "elsewhere.onnx").symlink_to(saved / "m.onnx")
    _is_whole(model_io.load(tmp_path / "elsewhere.onnx"))


def test_a_model_that_was_read_by_onnx_ir(saved):
    for name in ("m.onnx", "m.onnx.data"):
        _moved(saved / name, os.symlink)
    _is_whole(model_io.load(ir.load(saved / "m.onnx")))


def test_a_folder_that_is_a_link(saved, tmp_path):
    (tmp_path / "alias").symlink_to(saved, target_is_directory=True)
    loaded = model_io.load(tmp_path / "alias" / "m.onnx")
    _is_whole(loaded)
    assert {path.resolve() for path in external_files(loaded)} == {saved / "m.onnx.data"}


def _relocated(saved, location, offset=None, length=None):
    proto = onnx.load(saved / "m.onnx", load_external_data=False)
    given = {"location": location, "offset": offset, "length": length}
    for entry in proto.graph.initializer[0].external_data:
        value = given[entry.key]
        entry.value = entry.value if value is None else str(value)
    (saved / "m.onnx").write_bytes(proto.SerializeToString())


@pytest.mark.parametrize("way", ["..", "inner", "absolute"])
def test_a_model_that_points_out_of_its_folder(way, saved, tmp_path):
    shutil.copy(saved / "m.onnx.data", tmp_path / "secret")
    (saved / "inner").mkdir()
    places = {"..": "../secret", "inner": "inner/../../secret", "absolute": tmp_path / "secret"}
    _relocated(saved, places[way])
    with pytest.raises(InputError, match="outside its own folder"):
        model_io.load(saved / "m.onnx")


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ({"location": "gone"}, "which does not exist"),
        ({"location": "."}, "which is no file"),
        ({"location": "inner/../m.onnx.data", "offset": 10**9}, "which is truncated"),
        ({"location": "m.onnx.data", "length": 16}, "the model is damaged"),
        (
            {"location": "m.onnx.data", "offset": -8},
            "the model is damaged|cannot be read as an ONNX model",
        ),
        ({"location": "pointer"}, "git lfs pull"),
    ],
)
def test_weights_that_are_not_there(place, said, saved):
    (saved / "inner").mkdir()
    (saved / "pointer").write_text("version https://git-lfs.github.com/spec/v1\nsize 9\n")
    _relocated(saved, **place)
    with pytest.raises(InputError, match=said):
        model_io.load(saved / "m.onnx")


def test_a_model_in_memory_without_its_weights(saved, tmp_path, monkeypatch):
    proto = onnx.load(saved / "m.onnx", load_external_data=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="give the model's path"):
        model_io.load(proto)


def test_many_threads_read_a_weight_at_once(saved):
    """It is mapped once, however threads interleave."""
    for _ in range(20):
        tensor = model_io.load(saved / "m.onnx").graph.initializers["w1"].const_value
        assert isinstance(tensor, SharedTensor)
        with ThreadPoolExecutor(8) as pool:
            reads = [pool.submit(tensor.numpy) for _ in range(4)]
            reads += [pool.submit(tensor.tobytes) for _ in range(4)]
            found = [read.result() for read in reads]
        assert all(array is found[0] for array in found[:4])
        assert set(found[4:]) == {W_LARGE["w1"].tobytes()}


@pytest.mark.parametrize("dtype", [ir.DataType.INT4, ir.DataType.BFLOAT16])
def test_types_that_numpy_does_not_have(dtype, tmp_path):
    values = (np.arange(96) % 7).reshape(8, 12).astype(dtype.numpy())
    tensor = ir.tensor(values, dtype=dtype, name="w")
    (tmp_path / "w").write_bytes(b"...." + tensor.tobytes())
    shared = SharedTensor(tmp_path / "w", 4, tensor)
    np.testing.assert_array_equal(shared.numpy(), values)
    assert shared.tobytes() == tensor.tobytes()
