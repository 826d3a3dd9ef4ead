"""Helpers that several operators need."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ...graph.auto_pad import AUTO_PADS
from ...graph.auto_pad import padding as _padding
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
    """Padding before and after each spatial axis of a window operator: see `graph.auto_pad`.

    Raises:
        Unsupported: There is no such `auto_pad`.
    """
    auto_pad = auto_pad or "NOTSET"
    refuse(auto_pad not in AUTO_PADS, f"auto_pad '{auto_pad}'")
    given = list(pads) if pads is not None else [0] * (2 * len(sizes))
    return _padding(auto_pad, given, sizes, spans, strides)


def interleaved(before: Sequence[int], after: Sequence[int]) -> list[int]:
    """Padding in the order of `torch.nn.functional.pad`: the last axis first."""
    return [each for pair in reversed(list(zip(before, after, strict=True))) for each in pair]


def is_integer(tensor: Tensor) -> bool:
    """Tells whether a tensor holds integers (bools are none)."""
    return not tensor.is_floating_point() and not tensor.is_complex() and tensor.dtype != torch.bool
