"""What several operators need."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..execution.errors import Unsupported

__all__ = [
    "fold",
    "interleaved",
    "ints",
    "is_integer",
    "padding",
    "refuse",
    "set_axes",
    "wrap_axis",
]


def refuse(condition: bool, reason: str) -> None:
    """Refuses a node.

    Raises:
        Unsupported: The condition holds.
    """
    if condition:
        raise Unsupported(reason)


def ints(tensor: Tensor) -> list[int]:
    """The elements of an integer tensor."""
    return [int(element) for element in tensor.reshape(-1).tolist()]


def wrap_axis(axis: int, rank: int) -> int:
    """A non-negative axis.

    Raises:
        Unsupported: There is none such.
    """
    refuse(not -rank <= axis < max(rank, 1), f"axis {axis} of {rank} does not exist")
    return axis % rank if rank else 0


def set_axes(axes: Sequence[int], rank: int) -> list[int]:
    """Non-negative axes in ascending order."""
    return sorted(wrap_axis(axis, rank) for axis in axes)


def fold(function: Callable[[Tensor, Tensor], Tensor], values: Sequence[Tensor]) -> Tensor:
    """Combines any number of tensors, from left to right."""
    return functools.reduce(function, values)


def padding(
    auto_pad: str,
    pads: Sequence[int] | None,
    sizes: Sequence[int],
    spans: Sequence[int],
    strides: Sequence[int],
) -> tuple[list[int], list[int]]:
    """Padding before and after each spatial axis of a window operator.

    Args:
        auto_pad: ONNX's attribute.
        pads: ONNX's attribute: all that is before, then all that is after.
        sizes: The input's spatial shape.
        spans: What a window covers of each axis, dilation included.
        strides: Steps between windows.
    """
    rank = len(sizes)
    if auto_pad in ("NOTSET", ""):
        given = list(pads) if pads is not None else [0] * (2 * rank)
        return given[:rank], given[rank:]
    if auto_pad == "VALID":
        return [0] * rank, [0] * rank
    totals = [
        max(0, (math.ceil(size / stride) - 1) * stride + span - size)
        for size, span, stride in zip(sizes, spans, strides, strict=True)
    ]
    small = [total // 2 for total in totals]
    large = [total - half for total, half in zip(totals, small, strict=True)]
    refuse(auto_pad not in ("SAME_UPPER", "SAME_LOWER"), f"auto_pad '{auto_pad}'")
    return (small, large) if auto_pad == "SAME_UPPER" else (large, small)


def interleaved(before: Sequence[int], after: Sequence[int]) -> list[int]:
    """Padding in the order of `torch.nn.functional.pad`: the last axis first."""
    return [each for pair in reversed(list(zip(before, after, strict=True))) for each in pair]


def is_integer(tensor: Tensor) -> bool:
    """Whether a tensor holds integers (bools are none)."""
    return not tensor.is_floating_point() and not tensor.is_complex() and tensor.dtype != torch.bool
