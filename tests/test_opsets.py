"""Every opset that onnxruntime loads: gradients of every target, and the whole default run."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from builders import check, distribution, found, model, normal, session

from onnx_factorize import factorize
from onnx_factorize.calibration import Batch
from onnx_factorize.outputs import recognized
from onnx_factorize.runtime.runtimes.onnx_runtime import OnnxRuntime
from onnx_factorize.statistics.observer import Observer


@functools.cache
def _loads(opset: int) -> bool:
    try:
        session(_model("mlp", opset))
    except Exception:  # onnxruntime's errors have no common type
        return False
    return True


def _opsets() -> list[int]:
    return [opset for opset in range(7, onnx.defs.onnx_opset_version() + 1) if _loads(opset)]


def _model(kind: str, opset: int) -> onnx.ModelProto:
    text, weights = _KINDS[kind](opset)
    return model(text, weights, opset=opset, ir_version=3 if opset < 9 else 8)


def _mlp(_: int) -> tuple[str, dict[str, np.ndarray]]:
    text = """(float[N, 16] x) => (float[N, 5] y) {
        a = MatMul (x, w1) b = Relu (a) [mid] c = Gemm <transB = 1> (b, w2, b2) d = Sigmoid (c)
        l = Gemm (d, w3, b3) y = Softmax <axis = 1> (l) }"""
    weights = {"w1": normal(1, 16, 24), "w2": normal(2, 20, 24), "b2": normal(3, 20)}
    return text, weights | {"w3": normal(4, 20, 5), "b3": normal(5, 5)}


def _convolutional(_: int) -> tuple[str, dict[str, np.ndarray]]:
    text = """(float[N, 3, 12, 12] x) => (float[N, 5] y) {
        a = Conv <pads = [1, 1, 1, 1], kernel_shape = [3, 3]> (x, k1)
        b = BatchNormalization (a, g, z, z, g) c = Relu (b)
        d = MaxPool <kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]> (c)
        e = Conv <strides = [2, 2], kernel_shape = [3, 3]> (d, k2) f = LeakyRelu (e)
        p = AveragePool <kernel_shape = [2, 2]> (f) h = GlobalAveragePool (p)
        i = Flatten (h) y = Gemm <transB = 1> (i, w, v) }"""
    weights = {
        "k1": normal(1, 8, 3, 3, 3),
        "k2": normal(2, 12, 8, 3, 3),
        "g": np.ones(8, np.float32),
        "z": np.zeros(8, np.float32),
    }
    return text, weights | {"w": normal(3, 5, 12), "v": normal(4, 5)}


def _attention(opset: int) -> tuple[str, dict[str, np.ndarray]]:
    means = [
        f"ReduceMean <axes = [2]> ({value})" if opset < 18 else f"ReduceMean ({value}, last)"
        for value in ("o", "square")
    ]
    first = "Slice <starts = [0], ends = [1], axes = [1]> (n)"
    squeezed = "Squeeze <axes = [1]> (s)" if opset < 13 else "Squeeze (s, one)"
    heads = "\n".join(
        f"""{i}1 = MatMul (x, w{i}) {i}2 = Reshape ({i}1, split)
        {i} = Transpose <perm = {[0, 2, 3, 1] if i == "k" else [0, 2, 1, 3]}> ({i}2)"""
        for i in "qkv"
    )
    text = f"""(float[N, T, 16] x) => (float[N, 5] y) {{ {heads}
        qk = MatMul (q, k) scaled = Div (qk, root) p = Softmax <axis = 3> (scaled)
        pv = MatMul (p, v) back = Transpose <perm = [0, 2, 1, 3]> (pv)
        flat = Reshape (back, join) out = MatMul (flat, wo) o = Add (out, x)
        mean = {means[0]} centred = Sub (o, mean) square = Pow (centred, two)
        variance = {means[1]} safe = Add (variance, small) deviation = Sqrt (safe)
        n = Div (centred, deviation)
        s = {first if opset < 10 else "Slice (n, zero, one, one)"} c = {squeezed}
        y = MatMul (c, wc) }}"""
    weights = {f"w{i}": normal(j, 16, 16) / 4 for j, i in enumerate("qkvo")}
    weights |= {
        "wc": normal(9, 16, 5),
        "split": np.array([0, 0, 2, 8]),
        "join": np.array([0, 0, 16]),
    }
    weights |= {name: np.float32(n) for name, n in (("root", 2.8), ("two", 2), ("small", 1e-5))}
    if opset >= 10:
        weights |= {"zero": np.array([0]), "one": np.array([1]), "last": np.array([2])}
    return text, weights


_KINDS = {"mlp": _mlp, "convolutional": _convolutional, "attention": _attention}
_FEEDS = {"mlp": (16,), "convolutional": (3, 12, 12), "attention": (6, 16)}


@pytest.mark.parametrize("opset", _opsets())
@pytest.mark.parametrize("kind", _KINDS)
def test_every_target_has_a_gradient(kind: str, opset: int):
    graph, finder = found(_model(kind, opset))
    feeds = {"x": normal(7, 3, *_FEEDS[kind])}
    y = session(graph).run(["y"], feeds)[0]
    output = distribution(recognized(graph)["y"], y)
    observer = Observer(graph, finder.targets, OnnxRuntime(threads=1), {"y": output})
    assert not observer.unreachable
    seen = observer.run(Batch(feeds, 3, None, "here", np.arange(3)))
    for target in finder.targets:
        gradient = seen.gradient(target, 1000)
        assert gradient is not None
        assert np.abs(gradient[0]).max() > 0


def _runs() -> list[Any]:
    """Every kind at every opset; by default one of them at each, in turn."""
    return [
        pytest.param(kind, opset, marks=[pytest.mark.long] if (opset - turn) % 3 else [])
        for opset in _opsets()
        for turn, kind in enumerate(_KINDS)
    ]


@pytest.mark.parametrize(("kind", "opset"), _runs())
def test_default_run(kind: str, opset: int):
    proto = _model(kind, opset)
    feeds = [{"x": normal(11, 24, *_FEEDS[kind])}]
    result = factorize(proto, feeds, threads=1, prefer="size")
    compressed = check(result.model)
    assert compressed.opset_import == proto.opset_import
    assert ir.from_proto(compressed).ir_version == proto.ir_version
    figures = result.report.model
    assert figures["compressed"].params < figures["dense"].params
