"""One name for each linear operator, the same before and after normalising."""

from __future__ import annotations

import onnx_ir as ir

from ..graph import scopes
from .linear.marks import is_helper
from .linear.weight_inputs import is_linear

__all__ = ["linear_names", "linear_nodes"]


def linear_nodes(model: ir.Model) -> list[ir.Node]:
    """Every linear operator, of the main graph, of its subgraphs and of the functions."""
    graphs = [scope for scope, _ in scopes(model.graph)]
    for function in model.functions.values():
        graphs += [scope for scope, _ in scopes(function.graph)]
    return [node for graph in graphs for node in graph if is_linear(node) and not is_helper(node)]


def linear_names(model: ir.Model) -> dict[ir.Node, str]:
    """A name for each linear operator.

    - The first node of a name has it, even if operators that are not linear share it.
    - Further nodes of that name get `#2`, `#3` … behind it.
    - A node without a name is called after its operator and first output.

    Other operators do not count, so that a graph has the same names with and without the
    constants, transpositions and casts that normalising removes.
    """
    names: dict[ir.Node, str] = {}
    taken: set[str] = set()
    later = []
    for node in linear_nodes(model):
        if node.name and node.name not in taken:
            names[node] = node.name
            taken.add(node.name)
        else:
            later.append(node)
    counts: dict[str, int] = {}
    for node in later:
        base = name = node.name or f"{node.op_type}_{_first_output(node)}"
        while name in taken:
            counts[base] = counts.get(base, 1) + 1
            name = f"{base}#{counts[base]}"
        names[node] = name
        taken.add(name)
    return names


def _first_output(node: ir.Node) -> str:
    return next((value.name for value in node.outputs if value.name), "")
