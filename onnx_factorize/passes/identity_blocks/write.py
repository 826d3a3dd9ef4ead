"""Two factors in a graph become an identity block."""

from __future__ import annotations

from collections.abc import Mapping

import onnx_ir as ir

from ...arrays import Array
from ...graph import Namer, scopes
from ..clean_up import CleanUp
from ..factor_pairs import FactorPair, factor_pairs
from ..linear.provenance import PREFIX
from ..linear.site import Site
from .block import Block
from .choose import choose_block
from .reading import BLOCK, emitter, take_note
from .sides import sides_of_pair

__all__ = ["WriteIdentityBlocks"]


class WriteIdentityBlocks(ir.passes.InPlacePass):
    """Writes pairs of factors as identity blocks, where their numbers allow it.

    - Output side: `z = x (down M)`, `y = Concat(z C₁, z, z C₂)`. What the second operator added is
      divided: z gets its part of it, and each other part what is missing there.
    - Input side: `(x₁, x₀, x₂) = Split(x)`, `z = x₀ + x₁ C₁ + x₂ C₂`, `y = z (M up)`.

    The node that gave the result still does, under its name and with its metadata: on the output
    side it is the Concat. What a window at an end leaves out is not written.

    Attributes:
        count: How many were written.
        refused: The operators that stay pairs, because an identity block would not be as exact.
    """

    def __init__(self, only: Mapping[str, str | None] | None = None) -> None:
        """Initializes the pass.

        Args:
            only: The names of the operators whose factors are wanted, and the types that they must
                be exact in, None for their own; all by default.
        """
        self._only = only
        self.refused: list[str] = []
        self.count = 0

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Runs the pass on the main graph and every subgraph."""
        self.refused, self.count = [], 0
        names = Namer(model)
        for scope, _ in scopes(model.graph):
            for pair in list(factor_pairs(model, scope, self._only)):
                self.count += self._write(model, names, pair)
        if self.count:
            CleanUp()(model)
            take_note(model)
        return ir.passes.PassResult(model, modified=self.count > 0)

    def _write(self, model: ir.Model, names: Namer, pair: FactorPair) -> bool:
        down, up = pair.down, pair.up
        sides = sides_of_pair(model, down, up)
        dtype = up.weight.dtype
        assert dtype is not None
        if not sides:
            return False
        stored = (self._only or {}).get(pair.origin) or dtype.numpy()
        block = choose_block(down.matrices()[0], up.matrices()[0], stored, sides)
        if block is None:
            self.refused.append(pair.origin)
            return False
        emit = _Emitter(model, names, pair)
        emit.on_output(block) if block.side == "output" else emit.on_input(block)
        return True


class _Emitter:
    """Writes one block."""

    def __init__(self, model: ir.Model, names: Namer, pair: FactorPair) -> None:
        self._down, self._up = pair.down, pair.up
        self._first, self._last = (
            emitter(model, names, each, each.node, pair.origin) for each in (pair.down, pair.up)
        )
        self._origin = pair.origin

    def on_output(self, block: Block) -> None:
        """The first factor becomes `down M`, and the last node a Concat."""
        up, node, stop = self._up, self._up.node, block.start + block.rank
        bias = up.layer.bias
        assert bias is not None
        self._first.replace(self._down, block.matrix[None], None)
        own: Array = bias[block.start : stop]
        if bias.any():
            self._first.correct(self._down, own)
        narrow = node.inputs[0]
        assert narrow is not None
        parts = []
        for matrix, rest in ((block.before, bias[: block.start]), (block.after, bias[stop:])):
            missing = rest - own @ matrix if bias.any() else None
            if matrix.shape[1]:
                parts.append(self._last.channels(up, narrow, matrix[None], "block", missing))
        parts.insert(1 if block.start else 0, narrow)
        node.op_type, axis = "Concat", self._last.axis
        node.attributes.clear()
        node.attributes["axis"] = ir.AttrInt64("axis", axis)
        node.resize_inputs(len(parts))
        for index, part in enumerate(parts):
            node.replace_input_with(index, part)
        self._stamp(self._last.site)

    def on_input(self, block: Block) -> None:
        """The last factor becomes `M up`, and the first a sum of parts of x."""
        down, up = self._down, self._up
        lengths = [block.start, block.rank, down.rows - block.start - block.rank]
        parts = self._first.split(down.x, [length for length in lengths if length])
        before, after = parts[: bool(block.start)], parts[1 + bool(block.start) :]
        total = parts[len(before)]
        for matrix, part in (
            *((block.before, part) for part in before),
            *((block.after, part) for part in after),
        ):
            mapped = self._first.channels(down, part, matrix[None], "block")
            total = self._first.site.op("Add", total, mapped, suffix=".add")
            total.type = mapped.type
        up.node.replace_input_with(0, total)
        self._last.replace(up, block.matrix[None], None)
        graph = down.node.graph
        assert graph is not None
        graph.remove(down.node, safe=True)
        self._stamp(self._first.site)

    def _stamp(self, site: Site) -> None:
        for node in site.made:
            node.metadata_props[f"{PREFIX}origin"] = self._origin
        form = f"{PREFIX}form"
        self._up.node.metadata_props[form] += BLOCK
