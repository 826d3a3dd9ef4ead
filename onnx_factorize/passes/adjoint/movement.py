"""Rules of operators that move elements: reshapes, slices, padding, concatenation."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from onnx_factorize.passes.adjoint.emission.errors import NoRuleError
from onnx_factorize.passes.adjoint.registry import Cotangents, rule
from onnx_factorize.passes.adjoint.step import Step

END = 2**31 - 1


def _disjoint(first: int, last: int) -> bool:
    """Tell whether what lies before a slice and behind it never meets, whatever the size."""
    return first == 0 or last >= END or 0 < first <= last or first <= last < 0


@rule("Reshape", "Flatten", "Squeeze", "Unsqueeze")
def _reshape(s: Step) -> Cotangents:
    """x̄ = ȳ, in x's shape: static, or with its one dynamic axis inferred, or read at run time."""
    e, x = s.e, s.x()
    if s.node.op_type in ("Squeeze", "Unsqueeze") and (axes := _axes_or_none(s)) is not None:
        return {0: (e.unsqueeze if s.node.op_type == "Squeeze" else e.squeeze)(s.g, axes)}
    dims = s.facts.dims.get(x)
    if dims is not None:
        static = [dim if isinstance(dim, int) else -1 for dim in dims]
        if static.count(-1) <= 1 and 0 not in static:
            return {0: e.reshape(s.g, static)}
    return {0: e.reshape(s.g, e.shape(x))}


def _axes_or_none(s: Step) -> list[int] | None:
    try:
        return s.axes(1, s.x() if s.node.op_type == "Squeeze" else s.y)
    except NoRuleError:
        return None


@rule("Transpose")
def _transpose(s: Step) -> Cotangents:
    """x̄ = ȳ, transposed back."""
    perm = s.integers("perm")
    if perm is None:
        perm = list(reversed(range(s.rank(s.x()))))
    return {0: s.e.transpose(s.g, [int(i) for i in np.argsort(perm)])}


@rule("Expand", since=8)
def _expand(s: Step) -> Cotangents:
    """x̄ = Σ ȳ over the axes that were expanded."""
    return {0: s.unbroadcast(s.g, s.x())}


@rule("Tile", since=6)
def _tile(s: Step) -> Cotangents:
    """x̄ = Σ ȳ over the repetitions: ȳ is viewed as [r₀, n₀, r₁, n₁, ...]."""
    e, x = s.e, s.x()
    rank = s.rank(x)
    repeats, shape = s.x(1), e.shape(x)
    if s.facts.dtype(repeats) != ir.DataType.INT64:
        repeats = e.cast(repeats, ir.DataType.INT64)
    columns = [e.unsqueeze(repeats, [1]), e.unsqueeze(shape, [1])]
    view = e.reshape(e.concat(columns, 1), [-1])
    return {0: e.reduce_sum(e.reshape(s.g, view), list(range(0, 2 * rank, 2)), keepdims=False)}


@rule("Concat", since=4)
def _concat(s: Step) -> Cotangents:
    """x̄ᵢ is ȳ's part."""
    e = s.e
    axis = s.integer("axis", 1)
    values = [v for v in s.node.inputs if v is not None]
    sizes = [s.facts.static(v, axis) for v in values]
    static = [size for size in sizes if size is not None]
    if len(values) == 1:
        return {0: s.g}
    if len(static) == len(values):
        if sum(s.needs(i) for i in range(len(values))) == len(values):
            return dict(enumerate(e.split(s.g, static, axis)))
        ends = np.cumsum(static)
        return {
            i: e.slice(s.g, [int(ends[i]) - static[i]], [int(ends[i])], [axis])
            for i in range(len(values))
            if s.needs(i)
        }
    lengths = [e.dim(v, axis) for v in values]
    if e.opset >= 13:
        parts = e.many("Split", [s.g, e.concat(lengths, 0)], len(values), axis=axis)
        return dict(enumerate(parts))
    terms: dict[int, ir.Value | None] = {}
    start = e.ints([0])
    for i, length in enumerate(lengths):
        end = e.add(start, length)
        if s.needs(i):
            terms[i] = e.slice(s.g, start, end, [axis])
        start = end
    return terms


@rule("Split", since=2)
def _split(s: Step) -> Cotangents:
    """x̄ is the concatenation of the parts' cotangents, zeros for unused parts."""
    e = s.e
    axis = s.integer("axis", 0)
    parts = [
        g if g is not None else e.full(e.shape(y), 0.0, s.dtype)
        for y, g in zip(s.node.outputs, s.cotangents, strict=True)
    ]
    return {0: e.concat(parts, axis)}


@rule("Slice", spans={10: "bounds are attributes or inputs: it reads either"})
def _slice(s: Step) -> Cotangents:
    """x̄ = ȳ within zeros: by padding for a step of one, else by scattering."""
    e, x = s.e, s.x()
    rank = s.rank(x)
    bounds = _slice_bounds(s)
    if bounds is not None:
        starts, ends, axes, steps = bounds
        axes = [axis % rank for axis in axes]
        sizes = [s.facts.static(x, axis) for axis in axes]
        known = [size for size in sizes if size is not None]
        pads = [0] * (2 * rank)
        if all(step == 1 for step in steps) and len(known) == len(axes):
            for axis, size, start, end in zip(axes, known, starts, ends, strict=True):
                first, last, _ = slice(start, end).indices(size)
                pads[axis], pads[axis + rank] = first, size - max(last, first)
            return {0: e.pad(s.g, pads)}
        # A start that is not 0 may lie beyond a dynamic size, and be moved back.
        flat = all(step == 1 for step in steps) and not any(starts)
        if flat and e.opset >= 11:
            for axis, start in zip(axes, starts, strict=True):
                pads[axis] = start
            behind = e.sub(e.sub(e.shape(x), e.shape(s.y)), e.ints(pads[:rank]))
            return {0: e.pad(s.g, e.concat([e.ints(pads[:rank]), behind], 0))}
        if e.opset < 11 and steps == [1] and _disjoint(starts[0], ends[0]):
            return {0: around(s, s.g, axes[0], starts[0], ends[0])}
    return {0: _scattered(s)}


def around(s: Step, g: ir.Value, axis: int, first: int, last: int) -> ir.Value:
    """Put zeros in place of what lies before and behind [first, last) of an axis of any size."""
    e, x = s.e, s.x()
    parts = [g]
    if first:
        parts.insert(0, e.zeros_like(e.slice(x, [0], [first], [axis]), s.dtype))
    if last < END:
        parts.append(e.zeros_like(e.slice(x, [last], [END], [axis]), s.dtype))
    return e.concat(parts, axis)


def _slice_bounds(s: Step) -> tuple[list[int], list[int], list[int], list[int]] | None:
    if s.integers("starts") is not None:
        starts, ends = s.integers("starts") or [], s.integers("ends") or []
        return starts, ends, s.integers("axes") or list(range(len(starts))), [1] * len(starts)
    lists: list[list[int]] = []
    for index in (1, 2, 3, 4):
        if s.maybe(index) is None:
            lists.append(list(range(len(lists[0]))) if index == 3 else [1] * len(lists[0]))
            continue
        array = s.array(index)
        if array is None:
            return None
        lists.append([int(i) for i in array.reshape(-1)])
    return lists[0], lists[1], lists[2], lists[3]


def positions(s: Step, x: ir.Value) -> ir.Value:
    """Number the elements of ``x``, in its shape, so that a moved copy tells where each went."""
    e = s.e
    e.needs(11, "Range and ScatterElements")
    shape = e.shape(x)
    zero, one = (e.constant(np.int64(i), ir.DataType.INT64) for i in (0, 1))
    size = e.op("Size", x)
    return e.reshape(e.op("Range", zero, size, one), shape)


def scatter(
    s: Step, indices: ir.Value, g: ir.Value, x: ir.Value, *, distinct: bool = False
) -> ir.Value:
    """Add elements of ``g`` to a zero tensor of x's shape at flat positions."""
    e = s.e
    e.needs(11 if distinct else 16, "adding up gathered elements")
    zeros = e.full(e.reshape(e.op("Size", x), [1]), 0.0, s.dtype)
    flat, updates = e.reshape(indices, [-1]), e.reshape(g, [-1])
    if distinct:
        filled = e.op("ScatterElements", zeros, flat, updates, axis=0)
    else:
        filled = e.op("ScatterElements", zeros, flat, updates, axis=0, reduction="add")
    return e.reshape(filled, e.shape(x))


def _scattered(s: Step) -> ir.Value:
    """Move the numbers of x's elements as the node moves x, and put ȳ where they came from."""
    e, x = s.e, s.x()
    moved = e.many(
        s.node.op_type,
        [positions(s, x), *s.node.inputs[1:]],
        1,
        **{name: attr.value for name, attr in s.node.attributes.items()},
    )[0]
    return scatter(s, moved, s.g, x, distinct=True)


@rule("Pad", spans={11: "amounts are an attribute or an input: it reads either"})
def _pad(s: Step) -> Cotangents:
    """x̄ is ȳ without the padding (mode constant), or with its copies added back (other modes)."""
    e, x = s.e, s.x()
    rank = s.rank(x)
    mode = s.string("mode", "constant")
    s.refuse_gradient(2)
    if mode != "constant":
        moved = e.many(
            "Pad",
            [e.cast(positions(s, x), ir.DataType.DOUBLE), *s.node.inputs[1:2]],
            1,
            mode=mode,
            **({"pads": s.integers("pads") or []} if s.integers("pads") is not None else {}),
        )[0]
        return {0: scatter(s, e.cast(moved, ir.DataType.INT64), s.g, x)}
    axes = list(range(rank))
    if s.maybe(3) is not None:
        chosen = s.array(3)
        if chosen is None:
            raise NoRuleError("axes computed at run time")
        axes = [int(i) % rank for i in chosen.reshape(-1)]
    pads = s.integers("pads") or s.integers("paddings")
    if pads is None:
        array = s.array(1)
        pads = None if array is None else [int(i) for i in array.reshape(-1)]
    if pads is None:
        amounts = s.x(1)
        if axes != list(range(rank)):
            at = {side * rank + axis: side * len(axes) + i
                  for side in (0, 1) for i, axis in enumerate(axes)}  # fmt: skip
            each = [
                e.slice(amounts, [at[i]], [at[i] + 1], [0]) if i in at else e.ints([0])
                for i in range(2 * rank)
            ]
            amounts = e.concat(each, 0)
        return {0: e.pad(s.g, e.neg(amounts))}
    opposite = [0] * (2 * rank)
    for i, axis in enumerate(axes):
        opposite[axis], opposite[axis + rank] = -pads[i], -pads[i + len(axes)]
    return {0: e.pad(s.g, opposite)}


@rule("DepthToSpace")
def _depth_to_space(s: Step) -> Cotangents:
    """The opposite move; mode CRD by reshape and transposition."""
    e, block = s.e, s.integer("blocksize", 1)
    if s.string("mode", "DCR") == "DCR":
        return {0: e.op("SpaceToDepth", s.g, blocksize=block)}
    shape = e.shape(s.x())
    count, channels, height, width = (e.slice(shape, [i], [i + 1], [0]) for i in range(4))
    size = e.ints([block])
    inner = e.div(channels, e.ints([block * block]))
    view = e.concat([count, inner, height, size, width, size], 0)
    moved = e.transpose(e.reshape(s.g, view), [0, 1, 3, 5, 2, 4])
    return {0: e.reshape(moved, shape)}


@rule("SpaceToDepth")
def _space_to_depth(s: Step) -> Cotangents:
    """The opposite move."""
    return {0: s.e.op("DepthToSpace", s.g, blocksize=s.integer("blocksize", 1))}


@rule("Trilu", since=14)
def _trilu(s: Step) -> Cotangents:
    """The same triangle of ȳ."""
    return {0: s.e.op("Trilu", s.g, s.maybe(1), upper=s.integer("upper", 1))}


@rule("ReverseSequence", since=10)
def _reverse_sequence(s: Step) -> Cotangents:
    """A reversal is its own inverse."""
    axes = {"batch_axis": s.integer("batch_axis", 1), "time_axis": s.integer("time_axis", 0)}
    return {0: s.e.op("ReverseSequence", s.g, s.x(1), **axes)}
