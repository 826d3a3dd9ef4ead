"""Operators that move elements, and change none."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - what everybody calls it

from ..execution.program import Call
from ..execution.table import operator
from ._common import interleaved, ints, refuse, set_axes, wrap_axis


@operator("Identity")
def _identity(x: object) -> object:
    return x


@operator("Reshape", since=5, host={1})
def _reshape(x: Tensor, shape: Tensor, *, allowzero: int = 0) -> Tensor:
    sizes = ints(shape)
    if not allowzero:
        sizes = [x.shape[i] if size == 0 else size for i, size in enumerate(sizes)]
    return x.reshape(sizes)


@operator("Flatten")
def _flatten(x: Tensor, *, axis: int = 1) -> Tensor:
    axis = axis + x.dim() if axis < 0 else axis
    return x.reshape(x.shape[:axis].numel(), x.shape[axis:].numel())


@operator("Transpose")
def _transpose(x: Tensor, *, perm: Sequence[int] | None = None) -> Tensor:
    return x.permute(tuple(reversed(range(x.dim()))) if perm is None else tuple(perm))


@operator("Squeeze", host={1})
def _squeeze(
    x: Tensor, given: Tensor | None = None, *, axes: Sequence[int] | None = None
) -> Tensor:
    chosen = ints(given) if given is not None else axes
    if chosen is None:
        return x.squeeze()
    chosen = set_axes(chosen, x.dim())
    refuse(any(x.shape[axis] != 1 for axis in chosen), "a squeezed axis is not of length 1")
    return x.squeeze(chosen)


@operator("Unsqueeze", host={1})
def _unsqueeze(
    x: Tensor, given: Tensor | None = None, *, axes: Sequence[int] | None = None
) -> Tensor:
    chosen = ints(given) if given is not None else list(axes or ())
    for axis in set_axes(chosen, x.dim() + len(chosen)):
        x = x.unsqueeze(axis)
    return x


@operator("Concat", since=4, unsigned="bits")
def _concat(*values: Tensor, axis: int) -> Tensor:
    return torch.cat(values, axis)


@operator("Split", unsigned="native", host={1})
def _split(
    x: Tensor,
    given: Tensor | None = None,
    *,
    axis: int = 0,
    split: Sequence[int] | None = None,
    num_outputs: int | None = None,
    call: Call,
) -> tuple[Tensor, ...]:
    sizes = ints(given) if given is not None else list(split or ())
    if not sizes:
        parts = num_outputs or len(call.step.outputs)
        length = x.shape[axis]
        each = math.ceil(length / parts)
        refuse(num_outputs is None and length % parts != 0, "it splits into unequal parts")
        sizes = [max(0, min(each, length - i * each)) for i in range(parts)]
    return tuple(torch.split(x, sizes, axis))


@operator("Slice", unsigned="bits")
def _slice_attributes(
    x: Tensor, *, starts: Sequence[int], ends: Sequence[int], axes: Sequence[int] | None = None
) -> Tensor:
    return _sliced(x, starts, ends, axes, None)


@operator("Slice", since=10, unsigned="bits", host={1, 2, 3, 4})
def _slice(
    x: Tensor,
    starts: Tensor,
    ends: Tensor,
    axes: Tensor | None = None,
    steps: Tensor | None = None,
) -> Tensor:
    return _sliced(
        x,
        ints(starts),
        ints(ends),
        None if axes is None else ints(axes),
        None if steps is None else ints(steps),
    )


def _sliced(
    x: Tensor,
    starts: Sequence[int],
    ends: Sequence[int],
    axes: Sequence[int] | None,
    steps: Sequence[int] | None,
) -> Tensor:
    axes = range(len(starts)) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    for given, start, end, step in zip(axes, starts, ends, steps, strict=True):
        axis = wrap_axis(given, x.dim())
        first, last = _bounds(start, end, step, x.shape[axis])
        if step > 0:
            x = x[(slice(None),) * axis + (slice(first, last, step),)]
        else:
            x = x.index_select(axis, torch.arange(first, min(last, first), step, device=x.device))
    return x


def _bounds(start: int, end: int, step: int, size: int) -> tuple[int, int]:
    """Bounds of a slice; unlike in Python, no slice begins before its first element."""
    start, end = (at + size if at < 0 else at for at in (start, end))
    if step > 0:
        return min(max(start, 0), size), min(max(end, 0), size)
    return min(max(start, 0), size - 1), min(max(end, -1), size - 1)


@operator("Expand", since=8, host={1})
def _expand(x: Tensor, shape: Tensor) -> Tensor:
    return x.expand(np.broadcast_shapes(x.shape, tuple(ints(shape))))


@operator("Tile", since=6, unsigned="bits", host={1})
def _tile(x: Tensor, repeats: Tensor) -> Tensor:
    return x.repeat(ints(repeats))


@operator("Pad", since=2, unsigned="bits")
def _pad_attributes(
    x: Tensor, *, pads: Sequence[int], mode: str = "constant", value: float = 0.0
) -> Tensor:
    return _padded(x, pads, mode, value, list(range(x.dim())))


@operator("Pad", since=11, unsigned="bits", host={1, 2, 3})
def _pad(
    x: Tensor,
    pads: Tensor,
    constant: Tensor | None = None,
    axes: Tensor | None = None,
    *,
    mode: str = "constant",
) -> Tensor:
    value = 0 if constant is None or not constant.numel() else constant.item()
    chosen = list(range(x.dim())) if axes is None else ints(axes)
    return _padded(x, ints(pads), mode, value, [wrap_axis(axis, x.dim()) for axis in chosen])


def _padded(x: Tensor, pads: Sequence[int], mode: str, value: float, axes: Sequence[int]) -> Tensor:
    before, after = [0] * x.dim(), [0] * x.dim()
    for i, axis in enumerate(axes):
        before[axis], after[axis] = pads[i], pads[i + len(axes)]
    if mode == "constant":
        return F.pad(x, interleaved(before, after), value=value)
    for axis in range(x.dim()):
        if before[axis] or after[axis]:
            index = _index(x.shape[axis], before[axis], after[axis], mode)
            x = x.index_select(axis, index.to(x.device))
    return x


def _index(size: int, before: int, after: int, mode: str) -> Tensor:
    """The index of the element that each one of a padded axis is."""
    index = torch.arange(-before, size + after)
    if mode == "edge":
        return index.clamp(0, size - 1)
    if mode == "wrap":
        return index % size
    refuse(mode != "reflect", f"mode '{mode}'")
    period = max(2 * (size - 1), 1)
    index = index % period
    return torch.minimum(index, period - index) if size > 1 else torch.zeros_like(index)


@operator("DepthToSpace")
def _depth_to_space(x: Tensor, *, blocksize: int, mode: str = "DCR") -> Tensor:
    n, c, h, w = x.shape
    b = blocksize
    if mode == "DCR":
        x = x.reshape(n, b, b, c // b**2, h, w).permute(0, 3, 4, 1, 5, 2)
    else:
        x = x.reshape(n, c // b**2, b, b, h, w).permute(0, 1, 4, 2, 5, 3)
    return x.reshape(n, c // b**2, h * b, w * b)


@operator("SpaceToDepth")
def _space_to_depth(x: Tensor, *, blocksize: int, mode: str = "DCR") -> Tensor:
    n, c, h, w = x.shape
    b = blocksize
    x = x.reshape(n, c, h // b, b, w // b, b)
    x = x.permute(0, 3, 5, 1, 2, 4) if mode == "DCR" else x.permute(0, 1, 3, 5, 2, 4)
    return x.reshape(n, c * b * b, h // b, w // b)


@operator("ReverseSequence", since=10, unsigned="bits")
def _reverse_sequence(
    x: Tensor, lengths: Tensor, *, batch_axis: int = 1, time_axis: int = 0
) -> Tensor:
    moved = x.movedim((batch_axis, time_axis), (0, 1))
    time = torch.arange(moved.shape[1], device=x.device)[None]
    limit = lengths.to(x.device)[:, None]
    order = torch.where(time < limit, limit - 1 - time, time)
    rows = torch.arange(moved.shape[0], device=x.device)[:, None]
    return moved[rows, order].movedim((0, 1), (batch_axis, time_axis))


@operator("Trilu", since=14, unsigned="bits", host={1})
def _trilu(x: Tensor, k: Tensor | None = None, *, upper: int = 1) -> Tensor:
    diagonal = 0 if k is None else int(k)
    return torch.triu(x, diagonal) if upper else torch.tril(x, diagonal)


@operator("Shape")
def _shape(x: Tensor, *, start: int = 0, end: int | None = None) -> Tensor:
    """Shapes stay on the CPU, where they are read."""
    return torch.tensor(tuple(x.shape)[slice(start, end)], dtype=torch.int64)


@operator("Size")
def _size(x: Tensor) -> Tensor:
    return torch.tensor(math.prod(x.shape), dtype=torch.int64)
