"""Every rule on a small graph, and one from elsewhere."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from builders import ROOT, model, normal
from narrowed_channels import channels, error, reasons

from onnx_factorize.passes.narrowing.registry import RULES

# What stands between the channels h of 8 x 8 and r; the second operand is k, a constant for each.
FLOATS = """Abs Acos Acosh Asin Asinh Atan Atanh Ceil Celu Cos Cosh Elu Erf Exp Floor Gelu
    HardSigmoid HardSwish Identity LeakyRelu Log Mish Neg Reciprocal Relu Round Selu Shrink Sigmoid
    Sign Sin Sinh Softplus Softsign Sqrt Tan Tanh ThresholdedRelu"""
BINARY = "Add Div Max Mean Min Mul Pow Sub Sum"
COMPARED = "Equal Greater GreaterOrEqual Less LessOrEqual"
LOGICAL = "And Or Xor"
REDUCED = "L1 L2 LogSum LogSumExp Max Mean Min Prod Sum SumSquare"

SMALL = {
    **{name: f"q = Mul (h, low) p = Sigmoid (q) r = {name} (p)" for name in FLOATS.split()},
    **{name: f"p = Sigmoid (h) r = {name} (k, p)" for name in BINARY.split()},
    **{name: f"p = {name} (h, k) r = Cast <to = 1> (p)" for name in COMPARED.split()},
    **{
        name: f"a1 = Greater (h, k) b1 = Less (h, low) p = {name} (a1, b1) r = Cast <to = 1> (p)"
        for name in LOGICAL.split()
    },
    **{
        f"Reduce{name}": f"p = Sigmoid (h) q = Reduce{name} (p, places) r = Mul (q, h)"
        for name in REDUCED.split()
    },
    "Acosh": "q = Exp (h) p = Add (q, two) r = Acosh (p)",
    "Not": "p = Greater (h, k) q = Not (p) r = Cast <to = 1> (q)",
    "IsNaN": "p = IsNaN (h) r = Cast <to = 1> (p)",
    "IsInf": "p = IsInf (h) r = Cast <to = 1> (p)",
    "Mod": "r = Mod <fmod = 1> (h, k)",
    "Swish": "r = Identity (h)",  # onnxruntime has none yet
    "PRelu": "r = PRelu (h, k)",
    "Where": "p = Greater (h, k) r = Where (p, k, h)",
    "Clip": "r = Clip (h, low, two)",
    "Dropout": "r = Dropout (h)",
    "Cast": "p = Cast <to = 11> (h) r = Cast <to = 1> (p)",
    "ArgMax": "p = ArgMax <axis = 3> (h) q = Cast <to = 1> (p) r = Mul (q, h)",
    "ArgMin": "p = ArgMin <axis = 2, keepdims = 0> (h) q = Cast <to = 1> (p) r = Unsqueeze (q, at)",
    "BatchNormalization": "r = BatchNormalization (h, f, f, f, g)",
    "InstanceNormalization": "r = InstanceNormalization (h, f, g)",
    "GroupNormalization": "r = GroupNormalization <num_groups = 3> (h, f, g)",
    "LayerNormalization": "r = LayerNormalization (h, eight)",
    "LpNormalization": "r = LpNormalization <axis = 3> (h)",
    "Softmax": "r = Softmax <axis = 2> (h)",
    "LogSoftmax": "r = LogSoftmax <axis = -1> (h)",
    "Hardmax": "r = Hardmax <axis = -1> (h)",
    "AveragePool": "r = AveragePool <kernel_shape = [2, 2]> (h)",
    "MaxPool": "r = MaxPool <kernel_shape = [2, 2], ceil_mode = 1, strides = [3, 3]> (h)",
    "LpPool": "r = LpPool <kernel_shape = [2, 2]> (h)",
    "GlobalAveragePool": "r = GlobalAveragePool (h)",
    "GlobalMaxPool": "r = GlobalMaxPool (h)",
    "GlobalLpPool": "r = GlobalLpPool (h)",
    "GridSample": "s0 = Shape (x) n0 = Gather (s0, first) z0 = Concat <axis = 0> (n0, last) "
    "g0 = ConstantOfShape (z0) r = GridSample (h, g0)",
    "Transpose": "p = Transpose <perm = [3, 1, 0, 2]> (h) r = Transpose <perm = [2, 1, 3, 0]> (p)",
    "Flatten": "p = Flatten (h) q = Tanh (p) r = Reshape (q, whole)",
    "Reshape": "p = Reshape (h, split) r = Reshape (p, whole)",
    "Squeeze": "p = GlobalAveragePool (h) q = Squeeze (p, places) r = Unsqueeze (q, places)",
    "Unsqueeze": "p = Unsqueeze (h, first) r = Squeeze (p, first)",
    "Concat": "r = Concat <axis = 2> (h, h)",
    "Split": "p, q = Split <axis = 1, num_outputs = 2> (h) r = Concat <axis = 1> (q, p)",
    "Slice": "p = Slice (h, first, six, at2) r = Add (p, p)",
    "Gather": "r = Gather <axis = 1> (h, turned)",
    "Pad": "r = Pad (h, pads)",
    "Tile": "r = Tile (h, repeats)",
    "Expand": "p = GlobalMaxPool (h) r = Expand (p, full)",
    "ConstantOfShape": "s0 = Shape (h) p = ConstantOfShape (s0) r = Add (p, h)",
    "Shape": "s0 = Shape <start = 1> (h) c0 = Cast <to = 1> (s0) m0 = ReduceMax (c0) "
    "r = Div (h, m0)",
    "Resize": "r = Resize (h, , scales)",
    "DepthToSpace": "p = Concat <axis = 1> (h, h, h, h) r = DepthToSpace <blocksize = 2> (p)",
    "SpaceToDepth": "p = SpaceToDepth <blocksize = 2> (h) r = DepthToSpace <blocksize = 2> (p)",
}

# Rules of operators that are elsewhere: linear ones, those that refuse, and those of integers.
ELSEWHERE = """BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Conv ConvTranspose
    DequantizeLinear DynamicQuantizeLinear GRU Gemm LSTM MatMul QuantizeLinear RMSNormalization RNN
    Upsample"""

CONSTANTS = {
    "w": normal(0, 6, 3, 1, 1),
    "v": normal(1, 4, 6, 1, 1),
    "k": np.abs(normal(2, 6, 1, 1)) + 0.5,
    "f": normal(3, 6),
    "g": np.abs(normal(4, 6)) + 0.5,
    "eight": normal(5, 8),
    "low": np.array(-0.5, np.float32),
    "two": np.array(2, np.float32),
    "scales": np.array([1, 1, 2, 2], np.float32),
    **{
        name: np.array(numbers, np.int64)
        for name, numbers in {
            "places": [2, 3],
            "first": [0],
            "six": [6],
            "at": [2],
            "at2": [1],
            "last": [5, 5, 2],
            "split": [0, 3, 2, 64],
            "whole": [0, 6, 8, 8],
            "turned": [5, -2, 3, 2, 1, 0],
            "pads": [0, 0, 1, 0, 0, 0, 0, 2],
            "repeats": [1, 1, 2, 1],
            "full": [1, 6, 4, 4],
        }.items()
    },
}


@pytest.mark.parametrize("name", sorted(SMALL))
def test_what_lies_between(name):
    proto = model(
        "(float[n, 3, 8, 8] x) => (float[n, 4, a, b] y) "
        f"{{ [a] h = Conv (x, w) {SMALL[name]} [c] y = Conv (r, v) }}",
        CONSTANTS,
        opset=21,
    )
    groups = channels(proto)[1].groups
    assert [group.name for group in groups][:1] == ["a"], reasons(proto)
    kept = {group.name: np.arange(group.width)[1::2] for group in groups}
    found, made = error(proto, kept, {"x": normal(9, 2, 3, 8, 8)})
    assert found < 1e-5
    assert len(made.graph.initializers["v"].const_value.numpy()[0]) < 6


def test_every_rule_is_tried():
    every = {name for domain, name in RULES.operators() if not domain}
    assert every - set(ELSEWHERE.split()) == set(SMALL)


def test_a_rule_from_elsewhere():
    """The example of the page on extending."""
    page = (ROOT / "docs" / "development" / "extending.md").read_text(encoding="utf-8")
    example = page.split("## An operator between channels")[1].split("```python\n")[1]
    exec(compile(example.split("```")[0], "extending.md", "exec"), {"__name__": __name__})
    proto = model(
        "(float[n, 3] x) => (float[n, 4] y) "
        "{ [a] h = MatMul (x, w) r = com.microsoft.QuickGelu (h) [c] y = MatMul (r, v) }",
        {"w": normal(0, 3, 6), "v": normal(1, 6, 4)},
    )
    proto.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    kind = onnx.helper.make_tensor_value_info("r", onnx.TensorProto.FLOAT, ["n", 6])
    proto.graph.value_info.append(kind)
    found, _ = error(proto, {"a": [1, 4]}, {"x": normal(9, 5, 3)})
    assert found < 1e-5
