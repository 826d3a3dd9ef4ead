"""Small questions about graphs that several passes ask."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

__all__ = [
    "Namer",
    "add_initializer",
    "add_integers",
    "constant",
    "opset",
    "register",
    "scopes",
    "subgraphs",
]


def subgraphs(node: ir.Node) -> Iterator[ir.Graph]:
    """Yields the graphs in a node's attributes (the branches of an If, the body of a Loop)."""
    for attribute in node.attributes.values():
        if attribute.type == ir.AttributeType.GRAPH:
            yield attribute.as_graph()
        elif attribute.type == ir.AttributeType.GRAPHS:
            yield from attribute.as_graphs()


def scopes(
    graph: ir.Graph, owners: tuple[ir.Node, ...] = ()
) -> Iterator[tuple[ir.Graph, tuple[ir.Node, ...]]]:
    """Yields a graph and every subgraph in it with the nodes that enclose it, outermost first."""
    yield graph, owners
    for node in graph:
        for inner in subgraphs(node):
            yield from scopes(inner, (*owners, node))


def constant(value: ir.Value | None) -> ir.TensorProtocol | None:
    """The tensor behind a value: an initializer, or a Constant node, seen through Identity."""
    while value is not None:
        node = value.producer()
        if node is None:
            return value.const_value if value.is_initializer() else None
        if node.domain == "" and node.op_type == "Identity":
            value = node.inputs[0]
        elif node.domain == "" and node.op_type == "Constant":
            return ir.convenience.get_const_tensor(value)
        else:
            return None
    return None


def opset(model: ir.Model) -> int:
    """The version of the standard operators that the model uses."""
    return model.opset_imports.get("", model.opset_imports.get("ai.onnx", 1))


class Namer:
    """Gives names that no value or node of the model has yet."""

    def __init__(self, model: ir.Model) -> None:
        self._taken: set[str | None] = set()
        self._counts: dict[str, int] = {}
        for scope, _ in scopes(model.graph):
            self._taken.update(value.name for value in scope.inputs)
            self._taken.update(scope.initializers)
            for node in scope:
                self._taken.add(node.name)
                self._taken.update(value.name for value in node.outputs)

    def __call__(self, wanted: str) -> str:
        """The wanted name, or the first of `wanted_1`, `wanted_2` … that is free."""
        name = wanted
        while name in self._taken:
            self._counts[wanted] = self._counts.get(wanted, 0) + 1
            name = f"{wanted}_{self._counts[wanted]}"
        self._taken.add(name)
        return name


def add_initializer(
    model: ir.Model,
    scope: ir.Graph,
    name: str,
    array: npt.NDArray[np.float64],
    dtype: ir.DataType,
) -> ir.Value:
    """Registers an array as a new initializer of a graph, in the given type."""
    contents = np.ascontiguousarray(array.astype(dtype.numpy())).reshape(array.shape)
    tensor = ir.tensor(contents, dtype=dtype, name=name)
    value = ir.Value(
        name=name, shape=ir.Shape(array.shape), type=ir.TensorType(dtype), const_value=tensor
    )
    register(model, scope, value)
    return value


def add_integers(model: ir.Model, name: str, numbers: Sequence[int]) -> ir.Value:
    """Registers a list of integers as an initializer of the main graph, visible everywhere."""
    tensor = ir.tensor(np.array(numbers, np.int64), name=name)
    value = ir.Value(
        name=name,
        shape=ir.Shape([len(numbers)]),
        type=ir.TensorType(tensor.dtype),
        const_value=tensor,
    )
    register(model, model.graph, value)
    return value


def register(model: ir.Model, scope: ir.Graph, value: ir.Value) -> None:
    """Registers a value as an initializer of a graph.

    Models of IR version 3 must list every initializer among its graph's inputs. The branch of an
    If has none, so there it goes to the main graph.
    """
    if model.ir_version is not None and model.ir_version < 4:
        scope = model.graph
        scope.inputs.append(value)
    scope.register_initializer(value)
