"""Attachment of the emitted nodes: pruning, and values that cross the borders of If branches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import onnx_ir as ir

from onnx_factorize.graph import subgraphs
from onnx_factorize.graph.builder import emit
from onnx_factorize.passes.adjoint.emission.blocks import BRANCHES, Block
from onnx_factorize.passes.adjoint.emission.emit import Emitter
from onnx_factorize.passes.adjoint.emission.facts import Facts


def free_prefix(model: ir.Model) -> str:
    """Return a prefix that no name in the model begins with."""
    names = {
        name
        for graph in model.graphs()
        for node in graph.all_nodes()
        for name in (node.name, *(value.name for value in node.outputs))
        if name
    }
    for graph in model.graphs():
        names.update(graph.initializers)
        names.update(value.name for value in graph.inputs if value.name)
    prefix = "adjoint_"
    while any(name.startswith(prefix) for name in names):
        prefix = f"_{prefix}"
    return prefix


def attach(
    model: ir.Model, e: Emitter, gradients: Mapping[ir.Value, ir.Value], facts: Facts
) -> dict[ir.Value, ir.Value]:
    """Add the nodes that the gradients need to the main graph.

    Returns:
        The gradients, as values of the main graph.
    """
    alive = _alive(e, gradients.values())
    kept = {node for _, block in _blocks(e.block, e) for node in block.nodes if node in alive}
    within = {inner for node in kept for graph in subgraphs(node) for inner in graph.all_nodes()}
    used: set[ir.Value | None] = {v for node in (*kept, *within) for v in node.inputs}
    for _, block in _blocks(e.block, e):
        block.nodes = [node for node in block.nodes if node in kept]
    for branching in e.branchings.values():
        if branching.node in kept:
            used.update(value for pair in branching.results for value in pair)
            for name, block, column in zip(BRANCHES, branching.blocks, (0, 1), strict=True):
                graph = ir.Graph(
                    inputs=[],
                    outputs=[pair[column] for pair in branching.results],
                    nodes=block.nodes,
                    name=e.name(),
                )
                branching.node.attributes[name] = ir.AttrGraph(name, graph)
    for value in e.initializers:
        if value in used:
            model.graph.register_initializer(value)
    lift = _Lift(model, e, facts)
    model.graph.extend(e.block.nodes)
    lift.adopt(model.graph)
    for node in sorted(kept | within, key=lambda n: n.name or ""):
        for index, read in enumerate(node.inputs):
            if read is not None and not lift.visible(read, node):
                node.replace_input_with(index, lift.to_main(read))
    return {
        value: lift.to_main(gradient, fresh=True, like=value)
        for value, gradient in gradients.items()
    }


def _blocks(block: Block, e: Emitter) -> list[tuple[Block | None, Block]]:
    found: list[tuple[Block | None, Block]] = [(None, block)]
    for branching in e.branchings.values():
        found += [(block, inner) for inner in branching.blocks]
    return found


def _alive(e: Emitter, roots: Iterable[ir.Value]) -> set[ir.Node]:
    """Return the emitted nodes that some root depends on."""
    home = {node: block for _, block in _blocks(e.block, e) for node in block.nodes}
    alive: set[ir.Node] = set()
    stack: list[ir.Value | None] = list(roots)
    while stack:
        value = stack.pop()
        node = value.producer() if value is not None else None
        while node is not None and node in home and node not in alive:
            alive.add(node)
            stack.extend(node.inputs)
            for graph in subgraphs(node):
                stack.extend(v for inner in graph.all_nodes() for v in inner.inputs)
            if node in e.branchings:
                stack.extend(v for pair in e.branchings[node].results for v in pair)
            owner = home[node].owner
            node = owner.node if owner is not None else None
    return alive


class _Lift:
    """Makes values computed inside If branches visible in the main graph."""

    def __init__(self, model: ir.Model, e: Emitter, facts: Facts) -> None:
        self._main = model.graph
        self._e = e
        self._facts = facts
        self._parent: dict[ir.Graph, tuple[ir.Node, str]] = {}
        self._lifted: dict[ir.Value, ir.Value] = {}
        self.adopt(model.graph)

    def adopt(self, graph: ir.Graph) -> None:
        """Remember where each subgraph hangs."""
        for node in graph:
            for name, attr in node.attributes.items():
                if attr.type == ir.AttributeType.GRAPH:
                    self._parent[attr.as_graph()] = (node, name)
                    self.adopt(attr.as_graph())

    def visible(self, value: ir.Value, node: ir.Node) -> bool:
        """Tell whether a node sees a value."""
        home, graph = value.graph, node.graph
        while graph is not None and graph is not home and graph in self._parent:
            graph = self._parent[graph][0].graph
        return home is None or graph is home

    def to_main(
        self, value: ir.Value, *, fresh: bool = False, like: ir.Value | None = None
    ) -> ir.Value:
        """Return a value of the main graph that equals ``value`` if its branch is taken.

        Args:
            value: A value of any graph.
            fresh: Whether the result must be empty if its branch is not taken.
            like: A value of the same type and rank (default: the value itself).
        """
        graph = value.graph
        if graph is None or graph is self._main:
            return value
        if value in self._lifted and not fresh:
            return self._lifted[value]
        tensor = ir.convenience.get_const_tensor(value)
        if tensor is not None:
            lifted = ir.Value(
                name=self._e.name(),
                shape=ir.Shape(tensor.shape.numpy()),
                type=ir.TensorType(tensor.dtype),
                const_value=tensor,
            )
            self._main.register_initializer(lifted)
        else:
            node, name = self._parent[graph]
            inner = self._output(node, name, value, like or value, fresh=fresh)
            lifted = self.to_main(inner, fresh=fresh, like=like or value)
        if not fresh:
            self._lifted[value] = lifted
        return lifted

    def _output(
        self, node: ir.Node, name: str, value: ir.Value, like: ir.Value, *, fresh: bool
    ) -> ir.Value:
        """Return an output of an If that is ``value`` in one branch, and empty in the other."""
        graph = node.attributes[name].as_graph()
        other = node.attributes[BRANCHES[1 - BRANCHES.index(name)]].as_graph()
        if value in graph.outputs:
            if not fresh:
                return node.outputs[list(graph.outputs).index(value)]
            tap, called = self._e.name(), self._e.name()
            value = emit(graph.append, "Identity", [value], output=tap, name=called)
        dtype = self._facts.dtype(like) or ir.DataType.FLOAT
        rank = self._facts.rank_or_none(like)
        empty = np.zeros((0,) * (1 if rank is None else rank), dtype.numpy())
        filler = emit(
            other.append,
            "Constant",
            [],
            {"value": ir.Tensor(empty, dtype=dtype)},
            output=self._e.name(),
            name=self._e.name(),
            dtype=dtype,
        )
        graph.outputs.append(value)
        other.outputs.append(filler)
        if value.type is None:
            value.type = ir.TensorType(dtype)
        node.resize_outputs(len(node.outputs) + 1)
        output = node.outputs[-1]
        output.name, output.type = self._e.name(), ir.TensorType(dtype)
        self._facts.dtypes[output] = dtype
        if rank is not None:
            self._facts.dims[output] = tuple(self._facts.fresh() for _ in range(rank))
        return output
