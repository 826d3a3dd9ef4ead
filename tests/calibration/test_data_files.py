"""Data in several files: lists, patterns, and what a part of a calibration reads of them."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from builders import W_LARGE, model, normal
from commands import main_of
from PIL import Image

from onnx_factorize import InputError, Options, Progress, factorize
from onnx_factorize.calibrating import calibrate_part, survey_alone
from onnx_factorize.calibration import Signature, calibration_files
from onnx_factorize.calibration.sources import NumpySource, ProtobufSource
from onnx_factorize.files.model_io import load
from onnx_factorize.files.tensor_header import read_header
from onnx_factorize.shards import Shard
from onnx_factorize.statistics.statistics_file import save

TEXT = """(float[batch, 64] x) => (float[batch, 48] y) {
    [a] h = MatMul (x, w1) p = Add (h, b1) r = Relu (p) [b] z = MatMul (r, w2) y = Softmax (z)
}"""
MODEL, ROWS = model(TEXT, W_LARGE), normal(1, 96, 64)
OPTIONS = {"threads": 1, "prefer": "size"}


@pytest.fixture
def files(tmp_path):
    """Samples in files of three, in two folders."""
    found = []
    for number, rows in enumerate(np.split(ROWS, 32)):
        folder = tmp_path / ("a" if number < 16 else "b")
        folder.mkdir(exist_ok=True)
        found.append(folder / f"{number:02}.npz")
        np.savez(found[-1], x=rows)
    return found


def test_lists_folders_and_patterns_name_the_same_files(tmp_path, files):
    for given in (
        tmp_path,
        files,
        [str(file) for file in files],
        [tmp_path / "a", tmp_path / "b"],
        f"{tmp_path}/*/*.npz",
        f"{tmp_path}/**/*.npz",
        [f"{tmp_path}/a/*.npz", tmp_path / "b"],
        [tmp_path / "a", *files],  # each counts once
    ):
        assert list(calibration_files(given)) == files, given


def test_a_list_of_files_is_read_as_their_folder_is(tmp_path, files):
    one = factorize(MODEL, tmp_path, **OPTIONS)
    other = factorize(MODEL, files, **OPTIONS)
    assert one.report.divergence == other.report.divergence


def test_what_cannot_be_read_together_is_said(tmp_path, files):
    (tmp_path / "t.txt").write_text("words")
    for given, said in (
        ([files[0], tmp_path / "t.txt"], "give data of one form"),
        (f"{tmp_path}/*.nothing", "No file matches"),
        ([files[0], "feeds:make"], "give it alone"),
        ([files[0], tmp_path / "none.npz"], "does not exist"),
    ):
        with pytest.raises(InputError, match=said):
            factorize(MODEL, given, **OPTIONS)


def test_a_pattern_of_images(tmp_path):
    for number in range(3):
        Image.new("RGB", (4, 4)).save(tmp_path / f"{number}.png")
    assert len(calibration_files(f"{tmp_path}/[01].png")) == 2


def test_a_file_whose_name_looks_like_a_pattern(tmp_path):
    np.savez(tmp_path / "a[1].npz", x=ROWS)
    assert list(calibration_files(tmp_path / "a[1].npz")) == [tmp_path / "a[1].npz"]


def test_a_part_reads_its_own_files(monkeypatch, files):
    read = set()
    before = NumpySource.read

    def noted(self, record, start, stop):
        read.add(record)
        return before(self, record, start, stop)

    monkeypatch.setattr(NumpySource, "read", noted)
    calibrate_part(MODEL, files, Options.of(threads=1, samples=96), Progress(), Shard(4, 4))
    own = {record for record in read if record >= 24}
    # All of its own, and of the others what the survey wants: here that is every sample.
    assert own == set(range(24, 32))


def test_with_a_survey_little_else_is_read(monkeypatch, tmp_path, files):
    read = set()
    before = NumpySource.read

    def noted(self, record, start, stop):
        read.add(record)
        return before(self, record, start, stop)

    onnx.save(MODEL, tmp_path / "m.onnx")
    survey = tmp_path / "s.npz"
    given = Options.of(threads=1, samples=96)
    save(survey_alone(MODEL, files, given, Progress()), survey)
    monkeypatch.setattr(NumpySource, "read", noted)
    calibrate_part(MODEL, files, given, Progress(), Shard(4, 4), survey)
    assert set(range(24, 32)) <= read
    # A typical sample of each split, and the first batches, on which masks and ranks are checked.
    assert len([record for record in read if record < 24]) <= 6


def test_headers_of_tensors(tmp_path):
    for number, array in enumerate([ROWS, np.zeros((2, 300), np.int64), np.float32(1)]):
        path = tmp_path / f"input_{number}.pb"
        path.write_bytes(onnx.numpy_helper.from_array(np.asarray(array), "x").SerializeToString())
        assert read_header(path) == ("x", np.shape(array))
    tensor = onnx.helper.make_tensor("né", onnx.TensorProto.FLOAT, [2, 1], [1.5, 2.5])
    path.write_bytes(tensor.SerializeToString())
    assert read_header(path) == ("né", (2, 1))
    path.write_bytes(b"\x0f\x80")
    with pytest.raises(ValueError, match="wire type"):
        read_header(path)


def test_tensors_are_counted_without_their_numbers(monkeypatch, tmp_path):
    for number, rows in enumerate(np.split(ROWS, 4)):
        folder = tmp_path / f"test_data_set_{number}"
        folder.mkdir()
        tensor = onnx.numpy_helper.from_array(rows, "x")
        (folder / "input_0.pb").write_bytes(tensor.SerializeToString())
    result = factorize(MODEL, f"{tmp_path}/*", **OPTIONS)
    assert sum(result.report.samples.values()) == 96
    source = ProtobufSource(sorted(tmp_path.iterdir()), Signature.of(load(MODEL)))
    monkeypatch.delattr(ProtobufSource, "_read_all")
    assert source.counts() == [24] * 4


def test_the_command(tmp_path, files, monkeypatch, capsys):
    onnx.save(MODEL, tmp_path / "m.onnx")
    monkeypatch.chdir(tmp_path)
    common = ["m.onnx", "--threads", "1", "--dry-run", "--prefer", "size"]
    for data in (["--calib", "a/*.npz"], ["--calib", "a", "--calib", "b"]):
        assert main_of([*common, *data], monkeypatch, capsys)[0] == 0
    given = ["m.onnx", "--calib", "a", "--calib", "b", "-o", "b/20.npz"]
    code, _, said = main_of(given, monkeypatch, capsys)
    assert (code, "holds calibration data" in said) == (1, True)
