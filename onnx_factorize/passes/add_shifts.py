"""Give operators a row to add to what they compute: zeros, until it is given other numbers."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx_ir as ir

from ..graph import Namer, add_initializer
from ..graph.builder import emit
from .linear.target import Target

__all__ = ["AddShifts"]


class AddShifts(ir.passes.InPlacePass):
    """Puts an Add of zeros behind each target whose bias takes up the mean of an error.

    A shift can then be given as the contents of an initializer, wherever the bias is: in the
    operator, in an Add behind it, or nowhere yet. The graph computes what it computed.

    Attributes:
        shifts: Target name to its initializer.
    """

    def __init__(self, targets: Iterable[Target]) -> None:
        """Initializes the pass.

        Args:
            targets: Targets of the model that it is run on.
        """
        self._targets = [target for target in targets if target.centred]
        self.shifts: dict[str, ir.Value] = {}

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Runs the pass."""
        names = Namer(model)
        for target in self._targets:
            self.shifts[target.name] = _shifted(model, names, target)
        return ir.passes.PassResult(model, modified=bool(self.shifts))


def _shifted(model: ir.Model, names: Namer, target: Target) -> ir.Value:
    node, old, dtype = target.node, target.node.outputs[0], target.weight.dtype
    graph = node.graph
    assert isinstance(graph, ir.Graph)
    assert dtype is not None
    behind = 0 if target.convolution is None else len(target.convolution.kernel)
    zeros = np.zeros((target.groups * target.columns, *(1 for _ in range(behind))))
    shift = add_initializer(model, graph, names(f"{target.name}.shift"), zeros, dtype)
    shifted = emit(
        lambda new: graph.insert_after(node, new),
        "Add",
        [old, shift],
        name=names(f"{target.name}.shifted"),
        output=names(f"{old.name}.shifted"),
        dtype=dtype,
    )
    add = shifted.producer()
    assert add is not None
    ir.convenience.replace_all_uses_with(old, shifted, replace_graph_outputs=True)
    add.replace_input_with(0, old)
    # What is watched by its name is the sum.
    inner, outer = shifted.name, old.name
    old.name, shifted.name = None, None
    old.name, shifted.name, shifted.shape = inner, outer, old.shape
    return shift
