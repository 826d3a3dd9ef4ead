"""Models that onnxruntime does not run as they are, and libraries that help."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest
from builders import W_LARGE, model, normal
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static
from onnxruntime.quantization.quantize import quantize_dynamic

from onnx_factorize import factorize
from onnx_factorize.check_options import check_options
from onnx_factorize.errors import InputError
from onnx_factorize.files import model_io
from onnx_factorize.options import Options
from onnx_factorize.report.inspection import inspect
from onnx_factorize.runtime.runtimes.onnx_runtime import OnnxRuntime

PLAIN = """(float[b, 64] x) => (float[b, 48] y) {
    h = MatMul (x, w1) p = Add (h, b1) r = Relu (p) y = MatMul (r, w2) }"""
WEIGHTS = {name: W_LARGE[name] for name in ("w1", "b1", "w2")}


def test_an_operator_of_a_library_that_was_not_given():
    proto = model("(float[2] x) => (float[2] y) { y = custom.Mystery (x) }")
    with pytest.raises(InputError, match=r"Mystery.*--custom-ops\.$"):
        OnnxRuntime().session(model_io.load(proto))


def test_libraries_that_are_none(tmp_path):
    (tmp_path / "no.so").write_text("no library")
    for path, said in (("no.so", "cannot be loaded"), ("gone.so", "is no file")):
        with pytest.raises(InputError, match=said):
            check_options(Options.of(custom_ops=str(tmp_path / path)))
        with pytest.raises(InputError, match=said):
            inspect(model(PLAIN, WEIGHTS), custom_ops=[str(tmp_path / path)])


def test_every_session_has_the_libraries(tmp_path, monkeypatch):
    library = tmp_path / "ops.so"
    library.write_text("")
    registered, made = [], []

    class Watched(ort.SessionOptions):
        def __init__(self):
            super().__init__()
            made.append(self)

        def register_custom_ops_library(self, path):
            registered.append(path)

    monkeypatch.setattr(ort, "SessionOptions", Watched)
    factorize(model(PLAIN, WEIGHTS), [{"x": normal(1, 40, 64)}], custom_ops=str(library), threads=1)
    assert len(registered) == len(made) > 3
    assert set(registered) == {str(library)}


class _Reader(CalibrationDataReader):
    def __init__(self):
        self._feeds = iter([{"x": normal(1, 8, 64)}])

    def get_next(self):
        return next(self._feeds, None)


@pytest.mark.parametrize("way", ["dynamic", "QDQ", "QOperator"])
def test_models_that_are_quantized_already(way, tmp_path):
    dense, small = tmp_path / "m.onnx", tmp_path / "q.onnx"
    dense.write_bytes(model(PLAIN, WEIGHTS).SerializeToString())
    if way == "dynamic":
        quantize_dynamic(dense, small)
    else:
        quantize_static(dense, small, _Reader(), quant_format=QuantFormat[way])
    with pytest.raises(InputError, match=r"nothing to factorize.*quantize"):
        factorize(small, [{"x": normal(1, 40, 64)}])


def test_the_format_of_onnxruntime(tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(np.int32(24).tobytes() + b"ORTM" + bytes(64))
    with pytest.raises(InputError, match=r"own format.*give the \.onnx file"):
        model_io.load(path)
    path.write_text("version https://git-lfs.github.com/spec/v1\nsize 9\n")
    with pytest.raises(InputError, match="git lfs pull"):
        model_io.load(path)
