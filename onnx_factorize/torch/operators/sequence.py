"""Sequences, which are lists, and optionals, which are values or None."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ..execution.errors import Unsupported
from ..execution.table import operator
from ._common import ints, refuse


@operator("SequenceEmpty", since=11)
def _empty(*, dtype: int = 1) -> list[Any]:  # noqa: ARG001 - lists hold anything
    return []


@operator("SequenceConstruct", since=11)
def _construct(*values: Any) -> list[Any]:
    return list(values)


@operator("SequenceLength", since=11)
def _length(sequence: list[Any]) -> Tensor:
    return torch.tensor(len(sequence))


@operator("SequenceAt", since=11)
def _at(sequence: list[Any], position: Tensor) -> Any:
    return sequence[int(position)]


@operator("SequenceInsert", since=11, host={2})
def _insert(sequence: list[Any], value: Any, position: Tensor | None = None) -> list[Any]:
    at = len(sequence) if position is None else int(position)
    refuse(not -len(sequence) <= at <= len(sequence), "the position is out of bounds")
    at = at + len(sequence) if at < 0 else at
    return [*sequence[:at], value, *sequence[at:]]


@operator("SequenceErase", since=11)
def _erase(sequence: list[Any], position: Tensor | None = None) -> list[Any]:
    at = len(sequence) - 1 if position is None else int(position)
    refuse(not -len(sequence) <= at < len(sequence), "the position is out of bounds")
    at %= len(sequence)
    return [*sequence[:at], *sequence[at + 1 :]]


@operator("ConcatFromSequence", since=11)
def _concat(sequence: list[Tensor], *, axis: int, new_axis: int = 0) -> Tensor:
    return torch.stack(sequence, axis) if new_axis else torch.cat(sequence, axis)


@operator("SplitToSequence", since=11, host={1})
def _split(
    x: Tensor, given: Tensor | None = None, *, axis: int = 0, keepdims: int = 1
) -> list[Tensor]:
    length = x.shape[axis]
    if given is None:
        parts = torch.split(x, 1, axis)
        return [part if keepdims else part.squeeze(axis) for part in parts]
    if given.dim() == 0:
        each = int(given)
        return [x.narrow(axis, i * each, min(each, length - i * each))
                for i in range(math.ceil(length / each))]  # fmt: skip
    return list(torch.split(x, ints(given), axis))


@operator("Optional", since=15)
def _optional(value: Any = None, *, type_: object = None) -> Any:  # noqa: ARG001 - of none
    return value


@operator("OptionalHasElement", since=15)
def _has_element(value: Any = None) -> Tensor:
    return torch.tensor(value is not None)


@operator("OptionalGetElement", since=15)
def _get_element(value: Any) -> Any:
    if value is None:
        raise Unsupported("the optional is empty")
    return value
