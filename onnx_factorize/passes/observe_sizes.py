"""Sizes of the values that a model computes, to be taken from a run of the data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import onnx_ir as ir

from ..graph import scopes
from ..graph.builder import emit
from ._expose import Exposer

__all__ = ["ObserveSizes", "Sized"]

# What is of a type that nobody declares is most likely of single precision.
_BYTES = 4.0

# What these make is no tensor, and a constant takes nothing while the model runs.
_LEFT_OUT = {
    "Constant",
    "Optional",
    "SequenceConstruct",
    "SequenceEmpty",
    "SequenceErase",
    "SequenceInsert",
    "SequenceMap",
    "SplitToSequence",
}


@dataclasses.dataclass(frozen=True)
class Sized:
    """A value whose size is observed.

    Attributes:
        output: The output that carries the number of its elements; empty where it did not run.
        bytes: Bytes of an element.
        first: The place of the node that computes it, in the order of the graph.
        last: The place of the last one that reads it.
    """

    output: str
    bytes: float
    first: int
    last: int


class ObserveSizes(ir.passes.InPlacePass):
    """Shows how many elements each value has that a node computes, and how long it is needed.

    Bodies of Loop and Scan are left out. It is meant for a copy of the model.

    Attributes:
        values: The values.
    """

    def __init__(self) -> None:
        self.values: list[Sized] = []

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Adds the outputs."""
        places = {node: place for place, node in enumerate(model.graph.all_nodes())}
        found = [
            (scope, value, (places[node], _last_place(value, places)))
            for scope, owners in scopes(model.graph)
            if all(owner.op_type == "If" for owner in owners)
            for node in scope
            if node.op_type not in _LEFT_OUT
            for value in node.outputs
            if value.name and isinstance(value.type, ir.TensorType | None)
        ]
        expose = Exposer(model)
        for scope, value, (first, last) in found:
            each = _BYTES if value.dtype is None else value.dtype.itemsize
            size = emit(scope.append, "Size", [value], output=expose.names(f"{value.name}_size"))
            output = expose(size, scope, ir.DataType.INT64)
            self.values.append(Sized(output, each, first, last))
        return ir.passes.PassResult(model, modified=bool(found))


def _last_place(value: ir.Value, places: Mapping[ir.Node, int]) -> int:
    """The place of the last node that needs a value: outputs are needed to the end."""
    if value.is_graph_output():
        return len(places)
    return max((places[node] for node in value.consumers()), default=0)
