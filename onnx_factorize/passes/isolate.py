"""A target in a model of its own, to be timed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from ..graph import opset
from .linear.target import Target

__all__ = ["isolated"]

# What a model is allowed to be when its source does not say.
_IR_VERSION = 8


def isolated(target: Target, shape: Sequence[int], model: ir.Model) -> ir.Model:
    """A model whose one node does what a target does, with random constants of the same shapes.

    Times of kernels do not depend on the values, as long as these are ordinary numbers.

    Args:
        target: The target, in the normalised model.
        shape: The shape of its input `x`.
        model: The normalised model, for its opset.

    Returns:
        A model with the input `x`. `RewriteTargets` finds the target in it by its name, and
        unfoldings of it by theirs.
    """
    dtype = target.weight.dtype
    assert dtype is not None
    x = ir.Value(name="x", shape=ir.Shape(shape), type=ir.TensorType(dtype))
    y = ir.Value(name="y", type=ir.TensorType(dtype))
    rng = np.random.default_rng(0)
    inputs: list[ir.Value | None] = [x]
    constants = []
    for index, operand in enumerate(target.node.inputs[1:], 1):
        # A third operand that is computed (a Gemm's C) is left out: it costs before and after.
        if operand is None or operand.const_value is None:
            continue
        array = rng.standard_normal(tuple(operand.const_value.shape.numpy())) / 16
        tensor = ir.tensor(array.astype(dtype.numpy()), dtype=dtype, name=f"w{index}")
        value = ir.Value(name=f"w{index}", shape=ir.Shape(array.shape), type=ir.TensorType(dtype))
        value.const_value = tensor
        constants.append(value)
        inputs.append(value)
    node = ir.node(
        target.node.op_type,
        inputs,
        attributes=dict(target.node.attributes),
        name=target.operator,
        outputs=[y],
    )
    graph = ir.Graph(
        [x],
        [y],
        nodes=[node],
        initializers=constants,
        opset_imports={"": opset(model)},
        name="isolated",
    )
    return ir.Model(graph, ir_version=max(model.ir_version or 0, _IR_VERSION))
