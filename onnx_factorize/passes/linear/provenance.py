"""Marks on what was rewritten: which operator it was, how it was cut. They travel in the model."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import onnx_ir as ir

__all__ = [
    "CUTS",
    "NARROWED",
    "PREFIX",
    "Provenance",
    "history",
    "origin_name",
    "provenance_of",
    "stamp",
]

PREFIX = "pkg.onnx_factorize."

# In the metadata of a model: all of its cuts (see `cuts`).
CUTS = f"{PREFIX}cuts"

# In the metadata of a node: which of its outputs it still computes (see `narrowing`). In that of a
# model: the same of all nodes.
NARROWED = f"{PREFIX}narrowed"


@dataclasses.dataclass(frozen=True)
class Provenance:
    """The operator that a chain of low-rank operators was made from, with its form and rank.

    Attributes:
        operator: The operator that was rewritten.
        form: How.
        rank: The rank that it was given, in one group.
        full_rank: The largest that it could have.
    """

    operator: str
    form: str
    rank: int
    full_rank: int


def stamp(last: ir.Node, others: Iterable[ir.Node], mark: Provenance, origin: str) -> None:
    """Writes into the last node of a chain what it was, and into the others where they belong.

    Args:
        last: The node that gives the result.
        others: The rest of the chain.
        mark: What it was.
        origin: What it was called.
    """
    for node in (last, *others):
        node.metadata_props[f"{PREFIX}origin"] = origin
    last.metadata_props[f"{PREFIX}form"] = f"{mark.operator}: {mark.form}"
    last.metadata_props[f"{PREFIX}rank"] = f"{mark.rank}/{mark.full_rank}"


def origin_name(node: ir.Node) -> str | None:
    """The name of the operator that a node is a part of, if it is part of a rewritten one."""
    return node.metadata_props.get(f"{PREFIX}origin")


def provenance_of(node: ir.Node) -> Provenance | None:
    """The provenance of the chain that a node is the last of; None where it ends no chain."""
    found = node.metadata_props
    try:
        operator, _, form = found[f"{PREFIX}form"].partition(": ")
        rank, _, full_rank = found[f"{PREFIX}rank"].partition("/")
        return Provenance(operator, form, int(rank), int(full_rank))
    except (KeyError, ValueError):
        return None


def history(model: ir.Model) -> dict[str, str]:
    """Reads back what `sign` wrote; empty for a model that was not made by this tool."""
    return {
        key.removeprefix(PREFIX): value
        for key, value in model.metadata_props.items()
        if key.startswith(PREFIX) and key not in (CUTS, NARROWED)
    }
