"""The facts of a graph, inferred anew.

Declared shapes of intermediate values may be stale and symbolic names may lie, but onnxruntime
enforces the static dimensions of graph inputs. So everything is inferred anew: ranks and
static dimensions by onnx, and equality of dynamic dimensions by tokens (expressions over the
dimensions that nothing is known of), which `dims.py` propagates through the common operators.
Ranks that were seen in runs of the data (see `ObserveRanks`) serve where inference is silent.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import onnx_ir as ir
from onnx_ir.passes.common import ShapeInferencePass

from onnx_factorize.graph import opset
from onnx_factorize.passes.adjoint import dims, dims_fused
from onnx_factorize.passes.adjoint.emission.facts import Facts

# In the meta of a value: its rank and its type, where runs of the data showed them.
RANK, DTYPE = "observed rank", "observed type"

_ROUNDS = 4

_LOGGER = logging.getLogger("onnx_ir.passes.common.shape_inference")


def infer(model: ir.Model) -> Facts:
    """Collect the facts of a model's values, subgraphs included."""
    facts = Facts(opset(model))
    copy = model.clone()
    for value in copy.graph.inputs:
        if value.shape is not None:  # some exporters write -1 for a dynamic dimension
            sizes = [None if isinstance(dim, int) and dim < 0 else dim for dim in value.shape]
            value.shape = ir.Shape(sizes)
    names: set[str | None] = set()
    for graph in copy.graphs():
        for node in graph:
            for value in node.outputs:
                if value.name and value.name in names:
                    # What one branch tells onnx's inference of a name, it takes for all.
                    value.name = f"{value.name}#{len(names)}"
                names.add(value.name)
                value.shape = None
                if RANK in value.meta:  # seen in runs, where inference was silent
                    value.shape = ir.Shape([None] * value.meta[RANK])
                    dtype = value.meta.get(DTYPE, value.dtype) or ir.DataType.FLOAT
                    value.type = ir.TensorType(dtype)
    _learn(model, copy, facts)
    for _ in range(_ROUNDS):  # onnx's inference goes on behind fused operators
        if not _hand_on(model, copy, facts):
            break
        facts = Facts(facts.opset)
        _learn(model, copy, facts)
    return facts


def _learn(model: ir.Model, copy: ir.Model, facts: Facts) -> None:
    """Run onnx's inference on a copy, and learn from it."""
    level = _LOGGER.level
    _LOGGER.setLevel(logging.ERROR)
    try:
        ShapeInferencePass(check_type=False, strict_mode=False, data_prop=True)(copy)
    finally:
        _LOGGER.setLevel(level)
    for value, twin in _pairs(model, copy):
        facts.learn(value, twin.shape, twin.dtype)
        facts.learn_constant(value)
    dims.propagate(model.graph, facts)


def _hand_on(model: ir.Model, copy: ir.Model, facts: Facts) -> bool:
    """Tell a copy what is known of outputs of fused operators; return whether it is news."""
    found = False
    for value, twin in _pairs(model, copy):
        node = value.producer()
        known, dtype = facts.dims.get(value), facts.dtype(value)
        if node is None or not dims_fused.tells(node) or known is None or dtype is None:
            continue
        if twin.shape is None or twin.dtype is None:
            twin.shape = ir.Shape([dim if isinstance(dim, int) else None for dim in known])
            twin.type = ir.TensorType(dtype)
            found = True
    return found


def _pairs(model: ir.Model, copy: ir.Model) -> Iterator[tuple[ir.Value, ir.Value]]:
    for graph, other in zip(model.graphs(), copy.graphs(), strict=True):
        yield from zip(_values(graph), _values(other), strict=True)


def correct(model: ir.Model, facts: Facts) -> None:
    """Drop declared dimensions of computed values that inference does not confirm.

    onnxruntime folds Shape of a value into a constant by its declared shape, even a stale one.
    """
    for graph in model.graphs():
        for node in graph:
            for value in node.outputs:
                if value.shape is None:
                    continue
                dims = facts.dims.get(value)
                if dims is None or len(dims) != len(value.shape):
                    value.shape = None
                    continue
                value.shape = ir.Shape(
                    [
                        dim if isinstance(dim, int) else (None if isinstance(old, int) else old)
                        for dim, old in zip(dims, value.shape, strict=True)
                    ]
                )


def _values(graph: ir.Graph) -> Iterator[ir.Value]:
    yield from graph.inputs
    yield from (v for v in graph.initializers.values() if not v.is_graph_input())
    for node in graph:
        yield from node.outputs
