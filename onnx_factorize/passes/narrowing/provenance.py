"""Marks on linear operators that were narrowed: which of their outputs they still compute."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import onnx_ir as ir

from ..linear.provenance import NARROWED
from .group import Indices

__all__ = ["Narrowed", "narrowed", "note"]


@dataclasses.dataclass(frozen=True, eq=False)
class Narrowed:
    """The outputs that a linear operator had, and those that it still has.

    Attributes:
        width: The number of outputs that it had.
        kept: Those that stayed, in ascending order.
    """

    width: int
    kept: Indices


def note(node: ir.Node, width: int, kept: Indices) -> None:
    """Marks an operator; what was narrowed before is counted by its first width.

    Args:
        node: The operator.
        width: The number of its outputs.
        kept: Those that stay.
    """
    if len(kept) == width:
        return
    before = narrowed(node)
    if before is not None and len(before.kept) == width:
        width, kept = before.width, before.kept[kept]
    node.metadata_props[NARROWED] = f"{width}: {_ranges(kept)}"


def narrowed(node: ir.Node) -> Narrowed | None:
    """The mark of an operator; None where it was not narrowed, or the mark cannot be read."""
    width, _, ranges = node.metadata_props.get(NARROWED, "").partition(": ")
    try:
        ends = [part.split("-") for part in ranges.split(",")]
        kept = [np.arange(int(each[0]), int(each[-1]) + 1) for each in ends]
        return Narrowed(int(width), np.concatenate(kept))
    except ValueError:
        return None


def _ranges(kept: Indices) -> str:
    """Ascending numbers as ranges: `0-3,7`."""
    parts = []
    for _, run in itertools.groupby(enumerate(kept.tolist()), lambda pair: pair[1] - pair[0]):
        numbers = [number for _, number in run]
        one = numbers[0] == numbers[-1]
        parts.append(str(numbers[0]) if one else f"{numbers[0]}-{numbers[-1]}")
    return ",".join(parts)
