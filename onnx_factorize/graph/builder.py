"""The one way in which nodes are made: named, typed and put into a graph."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

import onnx_ir as ir

__all__ = ["Attribute", "Place", "before", "emit", "emit_many"]

Attribute: TypeAlias = (
    int | float | str | Sequence[int] | Sequence[float] | ir.TensorProtocol | ir.Attr
)
Place: TypeAlias = Callable[[ir.Node], None]
"""Takes a new node to where it stands, as `graph.append` does."""


def before(node: ir.Node) -> Place:
    """The place right before a node."""

    def place(new: ir.Node) -> None:
        assert node.graph is not None
        node.graph.insert_before(node, new)

    return place


def emit(
    place: Place,
    op_type: str,
    inputs: Iterable[ir.Value | None],
    attributes: Mapping[str, Attribute] | None = None,
    *,
    output: str | None,
    name: str | None = None,
    dtype: ir.DataType | None = None,
) -> ir.Value:
    """Makes a standard operator of one output.

    Args:
        place: Where to put it.
        op_type: The operator.
        inputs: What it reads, None where an input is absent.
        attributes: Its attributes.
        output: A free name for the output; None for none.
        name: A free name for the node; None for none.
        dtype: The output's element type, where it is to be declared.

    Returns:
        The output.
    """
    (value,) = emit_many(place, op_type, inputs, attributes, outputs=[output], name=name)
    if dtype is not None:
        value.type = ir.TensorType(dtype)
    return value


def emit_many(
    place: Place,
    op_type: str,
    inputs: Iterable[ir.Value | None],
    attributes: Mapping[str, Attribute] | None = None,
    *,
    outputs: Sequence[str | None],
    name: str | None = None,
) -> Sequence[ir.Value]:
    """Makes a standard operator with an output for each name: see `emit`."""
    node = ir.node(
        op_type,
        list(inputs),
        dict(attributes or {}),
        outputs=[ir.Value(name=output) for output in outputs],
        name=name,
    )
    place(node)
    return node.outputs
