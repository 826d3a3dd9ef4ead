"""The list of cuts in a model's own metadata: optimizers of graphs drop the marks on nodes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import onnx_ir as ir

from ..graph import scopes
from .linear.provenance import CUTS, NARROWED, PREFIX, origin_name
from .linear.weight_inputs import weight_inputs

__all__ = ["RestoreMarks", "record", "sign"]

_MARKS = ("form", "rank")


def record(model: ir.Model) -> None:
    """Repeats what is marked on nodes in the model's metadata: replaces what stood there."""
    cuts: dict[str, dict[str, Any]] = {}
    for node in _nodes(model):
        origin = origin_name(node)
        if origin is None:
            continue
        cut = cuts.setdefault(origin, {"origin": origin, "nodes": []})
        cut["nodes"].append([node.name, *_weight(node)])
        for mark in _MARKS:
            if PREFIX + mark in node.metadata_props:
                cut[mark] = node.metadata_props[PREFIX + mark]
    narrowed = [
        [node.name, *_weight(node), node.metadata_props[NARROWED]]
        for node in _nodes(model)
        if NARROWED in node.metadata_props
    ]
    for key, listed in ((CUTS, list(cuts.values())), (NARROWED, narrowed)):
        model.metadata_props.pop(key, None)
        if listed:
            model.metadata_props[key] = json.dumps(listed, separators=(",", ":"))


def sign(model: ir.Model, facts: Mapping[str, str]) -> None:
    """Writes into a model's metadata what made it (the version, the options), and its cuts."""
    for key, value in facts.items():
        model.metadata_props[PREFIX + key] = value
    record(model)


class RestoreMarks(ir.passes.InPlacePass):
    """Marks nodes by the list in the model's metadata, where they have lost their marks.

    A node is taken for one of the list if it reads a weight of the listed size, and has the listed
    name itself, or its weight has, or it reads what the node before it in the list gives. A list
    that is damaged marks nothing, nor does a cut of which a node is missing.

    Those of narrowed operators are restored likewise.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Runs the pass on the main graph and every subgraph."""
        narrowed = _restore_narrowed(model)
        listed = _read(model)
        if not listed:
            return ir.passes.PassResult(model, modified=narrowed)
        found: dict[tuple[str | None, int], ir.Node] = {}
        marked = set()
        for node in _nodes(model):
            weight, size = _weight(node)
            if origin_name(node) is not None:
                marked.add(origin_name(node))
            elif size:
                found.setdefault((node.name, size), node)
                found.setdefault((weight, size), node)
        modified = narrowed
        for cut in listed:
            if cut["origin"] not in marked:
                modified |= _restore(cut, found)
        return ir.passes.PassResult(model, modified=modified)


def _restore(cut: dict[str, Any], found: dict[tuple[str | None, int], ir.Node]) -> bool:
    """Marks the nodes of one cut, if all that hold weights are there."""
    nodes: list[ir.Node] = []
    for name, weight, size in cut["nodes"]:
        if size:
            node = found.get((weight, size)) or found.get((name, size)) or _next(nodes, size)
            if node is None:
                return False
            nodes.append(node)
    for node in nodes:
        node.metadata_props[f"{PREFIX}origin"] = cut["origin"]
    for mark in _MARKS:
        if nodes and mark in cut:
            nodes[-1].metadata_props[PREFIX + mark] = cut[mark]
    return bool(nodes)


def _restore_narrowed(model: ir.Model) -> bool:
    """Marks the nodes that were narrowed, where they have lost their marks."""
    try:
        listed = json.loads(model.metadata_props.get(NARROWED, "[]"))
        marks = {(key, size): str(mark) for *keys, size, mark in listed for key in keys}
    except (TypeError, ValueError):
        return False
    modified = False
    for node in _nodes(model) if marks else ():
        weight, size = _weight(node)
        mark = marks.get((node.name, size), marks.get((weight, size)))
        if size and mark is not None and NARROWED not in node.metadata_props:
            node.metadata_props[NARROWED] = mark
            modified = True
    return modified


def _next(nodes: list[ir.Node], size: int) -> ir.Node | None:
    """The only reader of the last of some nodes, if its weight has a size."""
    readers = nodes[-1].outputs[0].consumers() if nodes else ()
    return readers[0] if len(readers) == 1 and _weight(readers[0])[1] == size else None


def _read(model: ir.Model) -> list[dict[str, Any]]:
    """The list in a model's metadata; empty where there is none, or none that can be read."""
    try:
        cuts = json.loads(model.metadata_props.get(CUTS, "[]"))
        for cut in cuts:
            if not all(isinstance(cut.get(mark, ""), str) for mark in ("origin", *_MARKS)):
                return []
            for name, weight, size in cut["nodes"]:
                hash((name, weight, size))
        return [cut for cut in cuts if cut["origin"]]
    except (AttributeError, KeyError, TypeError, ValueError):
        return []


def _nodes(model: ir.Model) -> Iterator[ir.Node]:
    for scope, _ in scopes(model.graph):
        yield from scope


def _weight(node: ir.Node) -> tuple[str | None, int]:
    """The name and the elements of the constant that a node multiplies by; no size without one."""
    for index in weight_inputs(node):
        value = node.inputs[index] if index < len(node.inputs) else None
        source = value.producer() if value is not None else None
        if source is not None and source.op_type in ("Cast", "Transpose"):
            value = source.inputs[0]
        if value is not None and value.const_value is not None:
            return value.name, value.const_value.size
    return None, 0
