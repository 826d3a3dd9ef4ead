"""Unsigned integers of 16, 32 and 64 bits: torch stores them, but computes with few."""

from __future__ import annotations

from typing import Any

import torch

from .errors import Unsupported
from .table import Operator

__all__ = ["apply", "widened"]

_SIGNED = {
    torch.uint16: torch.int16,
    torch.uint32: torch.int32,
    torch.uint64: torch.int64,
}


def apply(operator: Operator, arguments: list[Any], keywords: dict[str, Any]) -> Any:
    """Calls an operator's function, on other integers if it needs that (see `table.Unsigned`)."""
    kinds = {value.dtype for value in arguments if isinstance(value, torch.Tensor)} & _SIGNED.keys()
    if not kinds or operator.unsigned == "native":
        return operator.function(*arguments, **keywords)
    if len(kinds) > 1:
        raise Unsupported("its inputs have different unsigned types")
    (kind,) = kinds
    wide = operator.unsigned != "bits"
    inside = torch.int64 if wide else _SIGNED[kind]
    converted = [
        (widened(value) if wide else value.view(inside))
        if isinstance(value, torch.Tensor) and value.dtype == kind
        else value
        for value in arguments
    ]
    result = operator.function(*converted, **keywords)
    if operator.unsigned == "read":
        return result
    if not isinstance(result, tuple):
        return _narrowed(result, kind, inside)
    if wide:  # what follows the first output are indices
        return (_narrowed(result[0], kind, inside), *result[1:])
    return tuple(_narrowed(each, kind, inside) for each in result)


def _narrowed(value: Any, kind: torch.dtype, inside: torch.dtype) -> Any:
    if not isinstance(value, torch.Tensor) or value.dtype != inside:
        return value
    return value.to(kind) if inside == torch.int64 else value.contiguous().view(kind)


def widened(value: torch.Tensor) -> torch.Tensor:
    """A tensor as int64.

    Raises:
        Unsupported: A value does not fit.
    """
    wide = value.to(torch.int64)
    if value.dtype == torch.uint64 and bool((wide < 0).any()):
        raise Unsupported("torch cannot compute with integers beyond 2^63")
    return wide
