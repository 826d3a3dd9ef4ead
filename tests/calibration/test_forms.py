"""Every form of `--calib`."""

from __future__ import annotations

import sys

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from builders import model
from onnxruntime.quantization import CalibrationDataReader
from PIL import Image

from onnx_factorize.calibration import Signature, open_calibration
from onnx_factorize.errors import InputError
from onnx_factorize.options import Selection

X = np.arange(24, dtype=np.float32).reshape(8, 3)


def _signature(inputs="float[batch, 3] x"):
    return Signature.of(ir.from_proto(model(f"({inputs}) => (float[?, ?] y) {{ y = Neg (x) }}")))


def _all(calibration, signature=None, **options):
    """Everything that a calibration holds, both splits, by input, in the order of the data."""
    data = open_calibration(calibration, signature or _signature(), Selection(**options))
    rows = [batch.feeds for split in ("calibration", "holdout") for batch in data.batches(split)]
    found = {name: np.concatenate([feeds[name] for feeds in rows]) for name in rows[0]}
    order = np.argsort(
        next(iter(found.values())).reshape(len(next(iter(found.values()))), -1)[:, 0]
    )
    return {name: array[order] for name, array in found.items()}


class _Reader(CalibrationDataReader):
    def __init__(self):
        self._feeds = iter([{"x": X[:5]}, {"x": X[5:]}])

    def get_next(self):
        return next(self._feeds, None)


def _generator():
    yield {"x": X[:5]}
    yield {"x": X[5:]}


@pytest.mark.parametrize(
    "form",
    [
        "npz",
        "compressed",
        "folder",
        "nested",
        "npy",
        "npy folder",
        "fortran",
        "protobuf",
        "path object",
        "list",
        "generator",
        "callable",
        "reader",
        "callable of reader",
    ],
)
def test_forms(form, tmp_path):  # noqa: C901 - one branch a form
    calibration = tmp_path
    if form in ("npz", "path object"):
        np.savez(tmp_path / "a.npz", x=X, unused=np.zeros(3))
        calibration = tmp_path / "a.npz" if form == "path object" else str(tmp_path / "a.npz")
    elif form == "compressed":
        np.savez_compressed(tmp_path / "a.npz", x=X)
    elif form == "folder":
        np.savez(tmp_path / "a.npz", x=X[:5])
        np.savez(tmp_path / "b.npz", x=X[5:])
        (tmp_path / "README.txt").write_text("not data")
    elif form == "nested":
        (tmp_path / "deep" / "er").mkdir(parents=True)
        np.savez(tmp_path / "deep" / "er" / "a.npz", x=X)
    elif form == "npy":
        np.save(tmp_path / "a.npy", X)
        calibration = tmp_path / "a.npy"
    elif form == "npy folder":
        for index, row in enumerate(X):
            np.save(tmp_path / f"{index}.npy", row)
    elif form == "fortran":
        np.savez(tmp_path / "a.npz", x=np.asfortranarray(X))
    elif form == "protobuf":
        for index, part in enumerate((X[:5], X[5:])):
            folder = tmp_path / f"test_data_set_{index}"
            folder.mkdir()
            tensor = onnx.numpy_helper.from_array(part, "x")
            (folder / "input_0.pb").write_bytes(tensor.SerializeToString())
            (folder / "output_0.pb").write_bytes(tensor.SerializeToString())
    else:
        calibration = {
            "list": list(_generator()),
            "generator": _generator(),
            "callable": _generator,
            "reader": _Reader(),
            "callable of reader": _Reader,
        }[form]
    np.testing.assert_array_equal(_all(calibration)["x"], X)


def test_inputs_of_protobuf_folders_by_name_and_by_order(tmp_path):
    signature = _signature("float[b, 3] x, int64[b] n")
    for index, names in enumerate([("x", "n"), ("", ""), ("n", "x")]):
        folder = tmp_path / f"test_data_set_{index}"
        folder.mkdir()
        for place, name in enumerate(names):
            is_x = name == "x" or (not name and place == 0)
            array = X[:1] + index if is_x else np.array([index])
            tensor = onnx.numpy_helper.from_array(array, name)
            (folder / f"input_{place}.pb").write_bytes(tensor.SerializeToString())
    found = _all(tmp_path, signature)
    np.testing.assert_array_equal(found["n"], [0, 1, 2])
    np.testing.assert_array_equal(found["x"][:, 0], [0, 1, 2])


def test_protobuf_inputs_in_the_order_of_their_numbers(tmp_path):
    names = [f"v{i}" for i in range(11)]
    proto = model(
        f"({', '.join(f'float[b] {n}' for n in names)}) => (float[b] y) {{ y = Neg (v0) }}"
    )
    folder = tmp_path / "test_data_set_0"
    folder.mkdir()
    for i in range(11):
        tensor = onnx.numpy_helper.from_array(np.array([i], np.float32))
        (folder / f"input_{i}.pb").write_bytes(tensor.SerializeToString())
    data = open_calibration(tmp_path, Signature.of(ir.from_proto(proto)))
    feeds = next(data.batches("calibration")).feeds
    assert [float(feeds[name][0]) for name in names] == list(range(11))


def test_module_and_callable(tmp_path, monkeypatch):
    (tmp_path / "my_feeds.py").write_text(
        "import numpy as np\ndef make():\n    yield {'x': np.zeros((8, 3), np.float32)}\n"
    )
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    assert _all("my_feeds:make")["x"].shape == (8, 3)
    assert sys.path == before
    sys.modules.pop("my_feeds")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("def make():\n    raise KeyError('gone')", "raised KeyError"),
        ("def make():\n    yield {'x': 1}\n    raise ValueError('half way')", "x"),
        (
            "def make():\n    yield {'x': [[1., 2., 3.]]}\n    raise ValueError('half way')",
            "half way",
        ),
        ("def make():\n    return [1, 2]", "yields int"),
        ("def make():\n    return []", "yields no feeds"),
        ("def make():\n    return 5", "make"),
        ("make = 5", "not callable"),
        ("other = 5", "has no 'make'"),
        ("import not_a_module_at_all", "no module 'not_a_module_at_all'"),
        ("raise ValueError('at import')", "ValueError"),
        ("def make(:", "SyntaxError"),
        ("from os import not_there", "not_there"),
        ("import os\nos.not_there", "not_there"),
    ],
)
def test_callables_that_fail(code, message, tmp_path, monkeypatch):
    (tmp_path / "bad_feeds.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    try:
        with pytest.raises(InputError, match=message) as raised:
            open_calibration("bad_feeds:make", _signature())
        assert "\n" not in str(raised.value)
    finally:
        sys.modules.pop("bad_feeds", None)


def test_an_endless_generator_is_stopped():
    def endless():
        while True:
            yield {"x": X}

    assert len(_all(endless, samples=20)["x"]) == 20


def test_names_that_npz_files_could_trip_over():
    """Keras names its inputs `serving_default/input:0`; numpy's own keyword is `file`."""
    signature = _signature("float[b, 3] x, float[b] file")
    proto = model("(float[b, 3] x, float[b] file) => (float[b] y) { y = Neg (file) }")
    for value, name in zip(proto.graph.input, ("a/b:0", "file"), strict=True):
        value.name = name
    proto.graph.node[0].input[0] = "file"
    signature = Signature.of(ir.from_proto(proto))
    feeds = [{"a/b:0": X, "file": X[:, 0]}]
    found = _all(feeds, signature)
    np.testing.assert_array_equal(found["a/b:0"], X)
    np.testing.assert_array_equal(found["file"], X[:, 0])


def test_files_that_are_not_meant(tmp_path):
    """Hidden copies, and documents beside the images."""
    np.savez(tmp_path / "a.npz", x=X)
    (tmp_path / "._a.npz").write_bytes(b"junk of a file system")
    (tmp_path / ".ipynb_checkpoints").mkdir()
    np.savez(tmp_path / ".ipynb_checkpoints" / "a.npz", x=X)
    np.testing.assert_array_equal(_all(tmp_path)["x"], X)
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    Image.new("RGB", (4, 4)).save(pictures / "a.png")
    (pictures / "about.pdf").write_bytes(b"%PDF-1.4")
    assert open_calibration(pictures, _signature("float[b, 3, 4, 4] x")).available == 1


# --- files that cannot be used


def _read(path, signature=None):
    data = open_calibration(path, signature or _signature())
    for split in ("calibration", "holdout"):
        list(data.batches(split))


def _expect(message, path, signature=None):
    with pytest.raises(InputError, match=message) as raised:
        _read(path, signature)
    assert "\n" not in str(raised.value)


def test_missing_and_empty(tmp_path):
    _expect("does not exist", tmp_path / "gone")
    _expect("is empty", tmp_path)
    (tmp_path / "notes.md").write_text("no data")
    _expect(r"holds no calibration data \(notes.md", tmp_path)
    _expect("neither .npz, .npy nor .txt", tmp_path / "notes.md")
    np.savez(tmp_path / "zero.npz", x=X[:0])
    _expect("hold 0 samples", tmp_path / "zero.npz")
    np.savez(tmp_path / "none.npz")
    _expect("holds nothing", tmp_path / "none.npz")


@pytest.mark.parametrize("keep", [0, 10, 100, -1, -30])
def test_truncated_npz(keep, tmp_path):
    np.savez_compressed(tmp_path / "a.npz", x=np.random.default_rng(1).random((500, 3)))
    whole = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(whole[:keep])
    _expect(r"a\.npz cannot be read", tmp_path)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("place", [0.02, 0.3, 0.5, 0.9])
def test_damaged_npz(save, place, tmp_path):
    """The directory at the end is whole, what it points to is not."""
    save(tmp_path / "a.npz", x=np.random.default_rng(1).random((500, 3)))
    damaged = bytearray((tmp_path / "a.npz").read_bytes())
    start = int(place * len(damaged))
    damaged[start : start + 200] = bytes(200)
    (tmp_path / "a.npz").write_bytes(damaged)
    _expect(r"a\.npz", tmp_path)


@pytest.mark.parametrize("keep", [0, 5, 60, 130, 200])
def test_truncated_npy(keep, tmp_path):
    np.save(tmp_path / "a.npy", X)
    whole = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(whole[:keep])
    _expect(r"a\.npy", tmp_path)


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_unreadable(name, tmp_path, monkeypatch):
    """As for a file without permission to read it (which root always has)."""
    (np.save if name.endswith("y") else np.savez)(tmp_path / name, X)

    def refuse(*_args, **_options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", refuse)
    monkeypatch.setattr("zipfile.ZipFile", refuse)
    _expect(rf"{name}.*Permission denied", tmp_path)


def test_pickled_objects(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.array([{}, 1], dtype=object))
    _expect("Python objects", tmp_path)


def test_wrong_file_named_npz(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"not a zip")
    _expect("cannot be read as .npz", tmp_path)


def test_npy_for_a_model_of_two_inputs(tmp_path):
    np.save(tmp_path / "a.npy", X)
    _expect(
        "feeds one input, but the model has 2", tmp_path, _signature("float[b, 3] x, float[b] z")
    )


def test_broken_protobuf(tmp_path):
    (tmp_path / "test_data_set_0").mkdir()
    (tmp_path / "test_data_set_0" / "input_0.pb").write_bytes(b"\xff\xff\xff")
    _expect(r"input_0\.pb cannot be read", tmp_path)


def test_the_bad_file_among_good_ones_is_named(tmp_path):
    np.savez(tmp_path / "a.npz", x=X)
    np.savez(tmp_path / "b.npz", x=X.astype(np.int64))
    _expect(r"b\.npz: input 'x' is int64", tmp_path)
