"""Blocks, which collect the nodes of the adjoint before they are attached to a graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import onnx_ir as ir

BRANCHES = ("then_branch", "else_branch")


class Block:
    """The nodes emitted into one graph, and what has been computed there already."""

    def __init__(self, parent: Block | None = None) -> None:
        self.parent = parent
        self.owner: Branching | None = None
        self.nodes: list[ir.Node] = []
        self.known: dict[tuple[object, ...], Sequence[ir.Value]] = {}

    def recall(self, key: tuple[object, ...]) -> Sequence[ir.Value] | None:
        """Return the outputs of an equal node of this block or of one around it."""
        if key in self.known:
            return self.known[key]
        return self.parent.recall(key) if self.parent else None


@dataclass
class Branching:
    """An If of the adjoint, whose branches are still blocks.

    Attributes:
        node: The If, without its graphs.
        blocks: What its then and else branches compute.
        results: By output, the value of each branch.
    """

    node: ir.Node
    blocks: tuple[Block, Block]
    results: list[tuple[ir.Value, ir.Value]] = field(default_factory=list)
