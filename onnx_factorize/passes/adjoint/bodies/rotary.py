"""The body of RotaryEmbedding, and rotation for operators that have it in them."""

from __future__ import annotations

import onnx_ir as ir

from onnx_factorize.passes.adjoint.bodies import heads
from onnx_factorize.passes.adjoint.bodies.call import Call
from onnx_factorize.passes.adjoint.bodies.registry import Outputs, body
from onnx_factorize.passes.adjoint.emission.emit import Emitter
from onnx_factorize.passes.adjoint.emission.errors import NoRuleError


@body("RotaryEmbedding")
def _rotary_embedding(c: Call) -> Outputs:
    """Pairs of channels of each head, turned by the angles of their positions."""
    c.refuse_attributes(is_packed_batching=0, scale=1.0)
    e, x, rank = c.e, c.x(0), c.rank(0)
    if rank not in (3, 4):
        raise NoRuleError(f"an input of {rank} axes")
    given, width = c.integer("rotary_embedding_dim", 0), table_width(c, 2)
    if given not in (0, width):
        raise NoRuleError(f"rotary_embedding_dim {given} with tables for {width} channels")
    if rank == 3:  # each head is as wide as the tables, unless the attributes say otherwise
        x = heads.split(e, x, c.integer("num_heads", 0) if given else None, width)
    rotation = Rotation(c, (2, 3), interleaved=bool(c.integer("interleaved", 0)))
    y = rotation(x, _positions(c, x), whole=not given)
    return [heads.join(e, y) if rank == 3 else y]


def _positions(c: Call, x: ir.Value) -> ir.Value:
    """Return positions (B, S), or (1, S) where they count from one offset; x is (B, N, S, H)."""
    e, at = c.e, c.x(1)
    if c.rank(1) == 2:  # it has this shape; now that is known before it runs, too
        return e.reshape(at, e.op("Gather", e.shape(x), e.ints([0, 2]), axis=0))
    return e.add(counting(e, e.dim(x, 2)), e.reshape(at, [1, 1]))


def counting(e: Emitter, length: ir.Value) -> ir.Value:
    """Emit 0, 1, … as a row (1, length); the length is a vector of one element."""
    e.needs(11, "Range")
    zero, one = (e.constant(i, ir.DataType.INT64) for i in (0, 1))
    return e.unsqueeze(e.op("Range", zero, e.squeeze(length, [0]), one), [0])


def table_width(c: Call, index: int) -> int:
    """Return twice the width of a table of cosines: the channels that it turns.

    Raises:
        NoRuleError: It is unknown.
    """
    half = c.static(index, 1)
    if half is None:
        raise NoRuleError("the width of its table of cosines is unknown")
    return 2 * half


class Rotation:
    """Turns the first channels of heads, in pairs, by tables of an angle's cosine and sine."""

    def __init__(self, c: Call, tables: tuple[int, int], *, interleaved: bool) -> None:
        """Prepare a rotation.

        Args:
            c: The node.
            tables: The inputs that hold cosines and sines, (positions, width / 2) each.
            interleaved: Whether channels 2i and 2i + 1 are a pair, not i and i + width / 2.
        """
        self._e = c.e
        self._tables = [c.x(index) for index in tables]
        self._width = table_width(c, tables[0])
        self._interleaved = interleaved

    def __call__(self, x: ir.Value, at: ir.Value, *, whole: bool) -> ir.Value:
        """Turn heads.

        Args:
            x: Heads (B, N, S, H).
            at: Positions (B, S) or (1, S).
            whole: Whether all channels are turned.

        Returns:
            (B, N, S, H).
        """
        if whole:
            return self._turned(x, at)
        e, width = self._e, self._width
        first = e.slice(x, [0], [width], [3])
        rest = e.slice(x, [width], [2**63 - 1], [3])
        return e.concat([self._turned(first, at), rest], 3)

    def _turned(self, x: ir.Value, at: ir.Value) -> ir.Value:
        """(a, b) becomes (a cos - b sin, b cos + a sin)."""
        e, half = self._e, self._width // 2
        cos, sin = (e.unsqueeze(e.op("Gather", t, at, axis=0), [1]) for t in self._tables)
        axis, sizes = 3, [half, half]
        if self._interleaved:
            x = e.reshape(x, [0, 0, 0, half, 2])
            cos, sin = e.unsqueeze(cos, [4]), e.unsqueeze(sin, [4])
            axis, sizes = 4, [1, 1]
        a, b = e.split(x, sizes, axis)
        turned = [e.sub(e.mul(a, cos), e.mul(b, sin)), e.add(e.mul(b, cos), e.mul(a, sin))]
        y = e.concat(turned, axis)
        return e.reshape(y, [0, 0, 0, 2 * half]) if self._interleaved else y
