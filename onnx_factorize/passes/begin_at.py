"""Cut a graph in two at a place: what comes before it, and what comes from it on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from ..graph import subgraphs

__all__ = ["BeginAt", "end_before", "gives_constants"]

# Before this version of the IR initializers are inputs, too.
_INITIALIZERS_ARE_NO_INPUTS = 4

# What a model is allowed to be when its source does not say.
_IR_VERSION = 8


def end_before(model: ir.Model, value: str) -> ir.Model | None:
    """The part before a place, as a model whose outputs are what the rest needs of it.

    Only that is copied. What is computed from constants alone counts as part of the rest: operators
    may want to see that it is constant.

    Args:
        model: The model; it is not changed.
        value: What the first node of the rest, or a node within it, computes.

    Returns:
        The model; None where nothing comes before the place.
    """
    crossing = _crossing(_before(model.graph, value))
    if not crossing:
        return None
    if model.ir_version is not None and model.ir_version < _INITIALIZERS_ARE_NO_INPUTS:
        whole = model.clone()
        values = {each.name: each for node in whole.graph for each in node.outputs}
        whole.graph.outputs[:] = [values[each.name] for each in crossing]
        RemoveUnusedNodesPass()(whole)
        return whole
    graph = ir.convenience.extract(model.graph, model.graph.inputs, crossing)
    functions = list(model.functions.values())
    return ir.Model(graph, ir_version=model.ir_version or _IR_VERSION, functions=functions)


class BeginAt(ir.passes.InPlacePass):
    """Leaves of a model what comes from a place on; what crosses becomes inputs.

    Inputs of the user's stay, so that the model still takes the feeds that it took. Those that an
    earlier cut made go when nothing reads them any more.
    """

    def __init__(self, value: str, crossing: Mapping[str, ir.TypeAndShape]) -> None:
        """Initializes the pass.

        Args:
            value: As for `end_before`.
            crossing: What crosses here, or crossed before: name to type.
        """
        self._value, self._crossing = value, crossing

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Runs the pass."""
        graph = model.graph
        before = _before(graph, self._value)
        gone = {value for node in before for value in node.outputs}
        graph.outputs[:] = [value for value in graph.outputs if value not in gone]
        for value in _crossing(before):
            known = self._crossing[value.name or ""]
            made = ir.Value(name=value.name, type=known.type, shape=known.shape)
            ir.convenience.replace_all_uses_with(value, made)
            graph.inputs.append(made)
        for inner in _nested(before):
            for index in range(len(inner.inputs)):
                inner.replace_input_with(index, None)
        graph.remove(before)
        graph.inputs[:] = [v for v in graph.inputs if v.uses() or v.name not in self._crossing]
        return ir.passes.PassResult(model, modified=bool(before))


def _before(graph: ir.Graph, name: str) -> list[ir.Node]:
    """Nodes before the one that computes a value, but for those that compute constants."""
    found: list[ir.Node] = []
    constants: set[ir.Value] = set()
    for node in graph:
        if any(value.name == name for inner in _nested([node]) for value in inner.outputs):
            return found
        if gives_constants(node, constants):
            constants.update(node.outputs)
        else:
            found.append(node)
    return []


def _nested(nodes: Iterable[ir.Node]) -> Iterator[ir.Node]:
    """Nodes, and those in their subgraphs."""
    for node in nodes:
        yield node
        for graph in subgraphs(node):
            yield from _nested(graph)


def gives_constants(node: ir.Node, constants: set[ir.Value]) -> bool:
    """Tells whether a node computes the same in each run, from what is known to be constant."""
    if node.domain == "" and node.op_type == "Constant":
        return True
    read = [value for value in node.inputs if value is not None]
    fixed = all(v in constants or (v.is_initializer() and not v.is_graph_input()) for v in read)
    return bool(read) and fixed and not any(subgraphs(node))


def _crossing(before: list[ir.Node]) -> list[ir.Value]:
    """The values that are computed by some nodes and read elsewhere."""
    within = set(_nested(before))
    computed = (value for node in before for value in node.outputs)
    return [value for value in computed if any(use.node not in within for use in value.uses())]
