"""Large models: run from files, with little of them in memory."""

from __future__ import annotations

import gc
import itertools
import pathlib
import time

import numpy as np
import onnx_ir as ir
import pytest
from builders import model, normal, run

from onnx_factorize import factorize
from onnx_factorize.factorization import rewriting
from onnx_factorize.files import model_io
from onnx_factorize.runtime import paging
from onnx_factorize.runtime.paging import spill_large
from onnx_factorize.runtime.runtimes import onnx_runtime

BODY = """(float[b, 600] x, bool c) => (float[b, 600] y) {
    h = MatMul (x, w) t = Transpose <perm = [1, 0]> (v) i = Identity (t) g = MatMul (h, i)
    y = If (c) <then_branch = yes () => (float[b, 600] p) { p = Add (g, bias) },
                else_branch = no () => (float[b, 600] q) { q = MatMul (g, u) }> }"""
WEIGHTS = {
    "w": normal(1, 600, 600) / 25,
    "v": normal(2, 600, 600) / 25,
    "u": normal(3, 600, 600) / 25,
    "bias": normal(4, 600),
}


@pytest.fixture(autouse=True)
def everything_is_large(monkeypatch):
    for module in (paging, onnx_runtime, rewriting):
        monkeypatch.setattr(module, "LARGE", 1000)
    monkeypatch.setattr(paging, "_PAGED", 0)


@pytest.fixture(params=["memory", "file"])
def large(request, tmp_path):
    proto = model(BODY, WEIGHTS)
    if request.param == "memory":
        return proto
    model_io.save(ir.from_proto(proto), tmp_path / "m.onnx", external=True)
    return tmp_path / "m.onnx"


@pytest.mark.parametrize("condition", [True, False])
def test_a_paged_session_computes_the_same(large, condition):
    feeds = {"x": normal(5, 4, 600), "c": np.array(condition)}
    paged = onnx_runtime.OnnxRuntime(threads=1).session(model_io.load(large))
    wanted = run(model(BODY, WEIGHTS), feeds)[0]
    for _ in range(3):
        np.testing.assert_allclose(paged.run(feeds)["y"], wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("ir_version", [3, 4])
def test_old_models_whose_initializers_are_inputs(ir_version):
    proto = model(
        "(float[b, 600] x) => (float[b, 600] y) { y = MatMul (x, w) }",
        {"w": WEIGHTS["w"]},
        opset=8,
        ir_version=ir_version,
    )
    x = normal(5, 4, 600)
    found = onnx_runtime.OnnxRuntime(threads=1).session(model_io.load(proto)).run({"x": x})["y"]
    np.testing.assert_allclose(found, x @ WEIGHTS["w"], rtol=1e-4, atol=1e-5)


def test_what_is_spilled_reads_the_same_and_goes_with_its_model():
    loaded = model_io.load(model(BODY, WEIGHTS))
    spill_large(loaded)
    tensor = loaded.graph.initializers["w"].const_value
    assert isinstance(tensor, ir.ExternalTensor)
    folder = pathlib.Path(tensor.path).parent
    clone = loaded.clone()
    del loaded, tensor
    gc.collect()
    np.testing.assert_array_equal(clone.graph.initializers["w"].const_value.numpy(), WEIGHTS["w"])
    assert not isinstance(clone.graph.initializers["bias"].const_value, ir.ExternalTensor)
    del clone
    gc.collect()
    assert not folder.exists()


def test_many_arrays_are_kept_on_disk(monkeypatch):
    monkeypatch.setattr(paging, "_KEPT", paging._Kept())
    monkeypatch.setattr(paging, "_IN_MEMORY", 5_000_000)
    arrays = [normal(seed, 3, 600, 400) for seed in range(3)]  # 2.9 MB each
    assert paging.keep(arrays[0]) is arrays[0]
    kept = paging.keep(arrays[1])
    assert kept is not arrays[1]
    for _ in range(3):
        time.sleep(2 * paging._SECONDS)  # pages are let go, and come back
        np.testing.assert_array_equal(kept, arrays[1])
    kept += 1
    time.sleep(2 * paging._SECONDS)
    np.testing.assert_array_equal(kept, arrays[1] + 1)
    del arrays[0]
    assert paging.keep(arrays[1]) is arrays[1]
    small = normal(8, 10)
    assert paging.keep(small) is small


def _source(array):
    """What an array lies in."""
    source = array
    while isinstance(source, np.ndarray):
        source = source.base
    return source.obj if isinstance(source, memoryview) else source


def test_small_arrays_share_a_file(monkeypatch):
    monkeypatch.setattr(paging, "_KEPT", paging._Kept())
    monkeypatch.setattr(paging, "_SHELF", paging._Shelf())
    monkeypatch.setattr(paging, "_IN_MEMORY", 0)
    monkeypatch.setattr(paging, "_SHELVED", 1 << 20)
    shapes = [(seed, 100 + 7 * seed, 67 + seed) for seed in range(1, 9)]  # 28 kB to 0.5 MB
    arrays = [normal(number, *shape) for number, shape in enumerate(shapes)]
    arrays.insert(3, arrays[3].astype(np.float64))
    kept = [paging.keep(array) for array in arrays]
    assert len({id(_source(each)) for each in kept}) < len(kept)
    assert not any(np.may_share_memory(a, b) for a, b in itertools.combinations(kept, 2))
    kept[0] += 1
    time.sleep(8 * paging._SECONDS)
    np.testing.assert_array_equal(kept[0], arrays[0] + 1)
    for array, copied in zip(arrays[1:], kept[1:], strict=True):
        assert copied is not array
        np.testing.assert_array_equal(copied, array)


def test_the_whole_way(large, tmp_path):
    feeds = [{"x": normal(6, 8, 600), "c": np.array(True)}]
    result = factorize(large, feeds, budget="targets=0.6", weighting="activation", threads=1)
    result.save(tmp_path / "small.onnx")
    whole = run(tmp_path / "small.onnx", feeds[0])[0]
    assert np.isfinite(whole).all()
    small = model_io.load(tmp_path / "small.onnx")
    assert {"w.down", "w.up", "v.down", "v.up"} & set(small.graph.initializers)


def test_what_is_kept_does_not_keep_the_memory_of_a_session():
    graph = ir.from_proto(model("(float[n, 4] x) => (float[n, 4] y) { y = Relu (x) }"))
    y = onnx_runtime.OnnxRuntime(threads=1).session(graph).run({"x": normal(1, 5, 4)})["y"]
    for array in (y, y[2:], np.ones(2**19)[1:]):
        kept = paging.keep(array)
        assert kept.base is None
        np.testing.assert_array_equal(kept, array)
        assert paging.owned(kept) is kept


SCALED = {"s": normal(2, 600), "b": normal(3, 600), "m": normal(4, 600), "v": normal(5, 600) ** 2}
SUM = "h = Conv (x, w) g = Conv (x, u)"
NORM = "BatchNormalization (h, s, b, m, v)"
REWRITTEN = {
    "conv": (
        "(float[n, 64, 9, 9] x) => (float[n, 600, 7, 7] y) { y = Conv (x, w) }",
        {"w": normal(1, 600, 64, 3, 3) / 25},
        (2, 64, 9, 9),
    ),
    "conv and norm": (
        f"(float[n, 64, 9, 9] x) => (float[n, 600, 7, 7] y) {{ h = Conv (x, w) y = {NORM} }}",
        {"w": normal(1, 600, 64, 3, 3) / 25, **SCALED},
        (2, 64, 9, 9),
    ),
    "product and norm": (
        f"(float[n, 600] x) => (float[n, 600] y) {{ h = MatMul (x, w) y = {NORM} }}",
        {"w": normal(1, 600, 600) / 25, **SCALED},
        (2, 600),
    ),
    "conv, sum, activation": (
        f"(float[n, 64, 9, 9] x) => (float[n, 600, 7, 7] y) {{ {SUM} k = Add (h, g) y = Relu(k) }}",
        {"w": normal(1, 600, 64, 3, 3) / 25, "u": normal(6, 600, 64, 3, 3) / 25},
        (2, 64, 9, 9),
    ),
}


@pytest.mark.parametrize(("text", "weights", "shape"), REWRITTEN.values(), ids=REWRITTEN)
def test_weights_that_a_runtime_would_rewrite_are_read(text, weights, shape):
    """They were taken for zeros: what a layout or a fusion reads is not where it looks."""
    feeds, proto = {"x": normal(7, *shape)}, model(text, weights)
    paged = onnx_runtime.OnnxRuntime(threads=1).session(ir.from_proto(proto))
    np.testing.assert_allclose(paged.run(feeds)["y"], run(proto, feeds)[0], rtol=1e-3, atol=1e-4)
