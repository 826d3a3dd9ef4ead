"""Identity blocks in a graph become pairs of factors again."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx_ir as ir

from ...arrays import Array
from ...graph import Namer, scopes
from ..clean_up import CleanUp
from ..factor_pairs import factor_at
from ..linear.provenance import PREFIX, origin_name
from ..linear.target import Target
from .reading import BLOCK, emitter, is_block, take_note

__all__ = ["WritePairs"]


class WritePairs(ir.passes.InPlacePass):
    """Writes identity blocks as the pairs of factors that they stand for; no data are needed.

    Names, metadata and the places of biases are those of pairs that were never written otherwise.

    Attributes:
        count: How many were found.
    """

    def __init__(self) -> None:
        self.count = 0

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Runs the pass on the main graph and every subgraph."""
        self.count, names = 0, Namer(model)
        for scope, _ in scopes(model.graph):
            for node in [node for node in scope if is_block(node)]:
                on_output = node.op_type == "Concat"
                done = (
                    _from_output(model, names, node)
                    if on_output
                    else _from_input(model, names, node)
                )
                self.count += done
        if self.count:
            CleanUp()(model)
            take_note(model)
        return ir.passes.PassResult(model, modified=self.count > 0)


def _from_output(model: ir.Model, names: Namer, node: ir.Node) -> bool:
    """`Concat(z C₁, z, z C₂)` becomes `z up`."""
    origin = origin_name(node)
    parts = [_factor_of(model, value, origin, node.inputs) for value in node.inputs]
    known = [part for part in parts if part is not None]
    if len(known) != len(parts) - 1:
        return False
    narrow = node.inputs[parts.index(None)]
    first = _factor_of(model, narrow, origin)
    if first is None or narrow is None:
        return False
    rank, own = known[0].rows, _bias(first)
    joined, bias = [], []
    for part in parts:
        matrix = np.eye(rank) if part is None else part.matrices()[0]
        joined.append(matrix)
        bias.append(own @ matrix + (0 if part is None else _bias(part)))
    emit = emitter(model, names, known[0], node, str(origin))
    row = np.concatenate(bias)
    made = emit.channels(
        known[0], narrow, np.concatenate(joined, axis=1)[None], "up", row if row.any() else None
    )
    last = made.producer()
    assert last is not None
    _rename(names, last)
    node.op_type = last.op_type
    node.attributes.clear()
    node.attributes.update(last.attributes)
    inputs = list(last.inputs)[: 3 if row.any() else 2]
    assert node.graph is not None
    node.graph.remove(last)
    node.resize_inputs(len(inputs))
    for index, value in enumerate(inputs):
        node.replace_input_with(index, value)
    for part in known:
        node.graph.remove(part.node, safe=True)
    if own.any():
        emitter(model, names, first, first.node, str(origin)).correct(first, -own)
    if not first.layer.zeros and len(first.node.inputs) > 2:
        first.node.resize_inputs(2)
    _unmark(node)
    return True


def _from_input(model: ir.Model, names: Namer, node: ir.Node) -> bool:
    """A sum of parts of x becomes `x down`."""
    origin, total = origin_name(node), node.inputs[0]
    adds: list[ir.Node] = []
    by_part: dict[ir.Value | None, Target] = {}
    while (add := _made_here(total, origin, "Add")) is not None:
        part = _factor_of(model, add.inputs[1], origin)
        if part is None:
            return False
        by_part[part.node.inputs[0]] = part
        adds.append(add)
        total = add.inputs[0]
    split = _made_here(total, origin, "Split")
    if split is None or not by_part or len(split.outputs) != len(by_part) + 1:
        return False
    some = next(iter(by_part.values()))
    eye = np.eye(some.columns)
    matrices = [by_part[v].matrices()[0] if v in by_part else eye for v in split.outputs]
    x = split.inputs[0]
    assert x is not None
    emit = emitter(model, names, some, node, str(origin))
    made = emit.channels(some, x, np.concatenate(matrices)[None], "down")
    first = made.producer()
    assert first is not None
    _rename(names, first)
    node.replace_input_with(0, made)
    first.metadata_props[f"{PREFIX}origin"] = str(origin)
    graph = node.graph
    assert graph is not None
    for gone in (*adds, *(part.node for part in by_part.values()), split):
        graph.remove(gone, safe=True)
    _unmark(node)
    return True


def _factor_of(
    model: ir.Model,
    value: ir.Value | None,
    origin: str | None,
    among: Collection[ir.Value | None] | None = None,
) -> Target | None:
    """The factor that gives a value, if it is of one origin, and reads one of some values."""
    node = None if value is None else value.producer()
    if node is None or origin_name(node) != origin:
        return None
    if among is not None and node.inputs[0] not in among:
        return None
    return factor_at(model, node)


def _made_here(value: ir.Value | None, origin: str | None, op_type: str) -> ir.Node | None:
    node = None if value is None else value.producer()
    same = node is not None and node.op_type == op_type and origin_name(node) == origin
    return node if same else None


def _bias(factor: Target) -> Array:
    """What a factor adds."""
    assert factor.layer.bias is not None
    return factor.layer.bias


def _rename(names: Namer, node: ir.Node) -> None:
    """Gives the constants of a new node the names that they have in pairs."""
    for index, value in enumerate(node.inputs[1:]):
        if value is not None and value.name is not None:
            stem, _, rest = value.name.partition(".block")
            value.name = names(stem + "." * index + rest.rpartition(".")[2] * index)


def _unmark(node: ir.Node) -> None:
    key = f"{PREFIX}form"
    node.metadata_props[key] = node.metadata_props[key].removesuffix(BLOCK)
