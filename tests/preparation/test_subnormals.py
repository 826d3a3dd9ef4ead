"""Subnormal weights of the dense model: zero where nothing changes by it, counted, and said."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from builders import model, normal, run

from onnx_factorize import factorize
from onnx_factorize.passes.linear.negligible import tiny

FAST = {"samples": 64, "threads": 1, "weighting": "activation", "rank_multiple": 1}
TEXT = """(float[b, 24] x) => (float[b, 6] y) {
    [first] h = Gemm (x, w1, b1) r = Relu (h) [second] g = MatMul (r, w2) s = Relu (g)
    [last] y = Gemm (s, w3, b3)
}"""


def _weights(size):
    """Every fourth hidden channel is dead; what reads it too."""
    weights = {
        "w1": normal(1, 24, 32) / 5, "b1": normal(2, 32), "w2": normal(3, 32, 32) / 5,
        "w3": normal(4, 32, 6), "b3": normal(5, 6),
    }  # fmt: skip
    for name, array in weights.items():
        dead = np.s_[..., ::4] if name in ("w1", "b1") else np.s_[::4]
        array[dead] *= np.float32(size)
    return weights


def _feeds(offset=0.0):
    return [{"x": normal(7, 64, 24) + np.float32(offset)}]


def _tiny(result):
    """Numbers next to nothing in factors, and in all else."""
    initializers = result.model.graph.initializers.items()
    arrays = {name: value.const_value.numpy() for name, value in initializers}
    counts = {n: int(tiny(a).sum()) for n, a in arrays.items() if a.dtype.kind == "f"}
    made = sum(count for name, count in counts.items() if name.endswith((".down", ".up")))
    return made, sum(counts.values()) - made


@pytest.mark.parametrize("keep", [False, True])
def test_dead_channels(keep):
    proto = model(TEXT, _weights(1e-38))
    result = factorize(
        proto, _feeds(), budget="targets=0.6", exclude="second", keep_subnormals=keep, **FAST
    )
    found = result.report.subnormals
    before = sum(int(tiny(array).sum()) for array in _weights(1e-38).values())
    assert found["numbers"] == before > 400
    assert found["zeroed"] is not keep
    made, rest = _tiny(result)
    assert made == 0
    assert (rest > 200) is keep
    assert "keep-subnormals" in found["said"]
    # What was not cut is as it was, but for those numbers.
    second = result.model.graph.initializers["w2"].const_value.numpy()
    kept = ~tiny(_weights(1e-38)["w2"])
    np.testing.assert_array_equal(second[kept], _weights(1e-38)["w2"][kept])
    compressed, dense = (run(each, _feeds()[0])[0] for each in (result.model, proto))
    assert np.abs(compressed - dense).max() < np.abs(dense).max()


def test_a_model_without_has_nothing_to_say():
    result = factorize(model(TEXT, _weights(1.0)), _feeds(), budget="targets=0.6", **FAST)
    assert result.report.subnormals is None


def test_they_stay_where_outputs_change():
    """What multiplies them is so large that they count."""
    text = TEXT.replace("(float[b, 24] x)", "(float[b, 24] v)").replace(
        "[first]", "x = Mul (v, large) [first]"
    )
    weights = {**_weights(1.0), "large": np.full(1, 1e15, np.float32)}
    weights |= {"w1": np.float32(5e-31) * normal(1, 24, 32), "b1": np.zeros(32, np.float32)}
    weights["w2"] *= np.float32(1e15)
    proto = model(text, weights)
    result = factorize(proto, [{"v": normal(7, 64, 24)}], budget="targets=0.6", **FAST)
    found = result.report.subnormals
    assert not found["zeroed"]
    assert found["samples"] > 0
    assert "outputs change" in found["said"]


def test_training_leaves_no_subnormal_factors():
    pytest.importorskip("torch")
    result = factorize(
        model(TEXT, _weights(1e-38)), _feeds(), budget="targets=0.6", finetune=True, epochs=1,
        keep_subnormals=True, **FAST,
    )  # fmt: skip
    assert _tiny(result)[0] == 0
    assert isinstance(result.model, ir.Model)
