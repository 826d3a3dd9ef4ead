"""Types: how ONNX's are held in torch, and how arrays become tensors and come back.

Types that torch has no arithmetic for are *carried*: integers of 2 and 4 bits in 8, floats of 4 to
8 bits as float32, which holds each of their values. Strings are numpy arrays of objects.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import torch

from .errors import Unsupported

__all__ = ["SMALL_FLOATS", "SMALL_INTEGERS", "from_numpy", "held_as", "onnx_type", "to_numpy"]

D = ir.DataType

_NATIVE = {
    D.FLOAT: torch.float32,
    D.DOUBLE: torch.float64,
    D.FLOAT16: torch.float16,
    D.BFLOAT16: torch.bfloat16,
    D.BOOL: torch.bool,
    D.INT8: torch.int8,
    D.INT16: torch.int16,
    D.INT32: torch.int32,
    D.INT64: torch.int64,
    D.UINT8: torch.uint8,
    D.UINT16: torch.uint16,
    D.UINT32: torch.uint32,
    D.UINT64: torch.uint64,
    D.COMPLEX64: torch.complex64,
    D.COMPLEX128: torch.complex128,
}
_ONNX = {held: kind for kind, held in _NATIVE.items()}

SMALL_INTEGERS = {D.INT2: (2, True), D.UINT2: (2, False), D.INT4: (4, True), D.UINT4: (4, False)}
"""Bits, and whether there is a sign."""

SMALL_FLOATS = frozenset(
    {
        D.FLOAT4E2M1,
        D.FLOAT8E4M3FN,
        D.FLOAT8E4M3FNUZ,
        D.FLOAT8E5M2,
        D.FLOAT8E5M2FNUZ,
        D.FLOAT8E8M0,
    }
)


def held_as(kind: ir.DataType) -> torch.dtype:
    """The torch type that holds values of an ONNX type.

    Raises:
        Unsupported: Nothing holds it.
    """
    if kind in _NATIVE:
        return _NATIVE[kind]
    if kind in SMALL_INTEGERS:
        return torch.int8 if SMALL_INTEGERS[kind][1] else torch.uint8
    if kind in SMALL_FLOATS:
        return torch.float32
    raise Unsupported(f"values of type {kind.name} cannot be held in torch")


def onnx_type(held: torch.dtype) -> ir.DataType:
    """The ONNX type of a torch type."""
    return _ONNX[held]


def from_numpy(array: npt.NDArray[Any]) -> Any:
    """A tensor of an array of any ONNX type, with memory of its own; strings stay an array."""
    array = np.asarray(array)
    if array.dtype.kind in "OSU":
        return array.astype(object)
    kind = D.from_numpy(array.dtype)
    if kind == D.BFLOAT16:
        bits = torch.from_numpy(array.view(np.int16).copy())
        return bits.view(torch.bfloat16)
    if kind in SMALL_INTEGERS:
        array = array.astype(np.int8 if SMALL_INTEGERS[kind][1] else np.uint8)
    elif kind in SMALL_FLOATS:
        array = array.astype(np.float32)
    else:
        held_as(kind)
    return torch.from_numpy(np.array(array))


def to_numpy(value: Any, kind: ir.DataType | None = None) -> Any:
    """An array of a tensor; a list for a sequence, None for an absent optional.

    Args:
        value: What a graph gives.
        kind: The type that the graph declares, for those that are carried in others.
    """
    if value is None or isinstance(value, np.ndarray):
        return value
    if isinstance(value, list):
        return [to_numpy(element, kind) for element in value]
    value = value.detach().cpu()
    if value.dtype == torch.bfloat16:
        bits = value.contiguous().view(torch.int16).numpy()
        return bits.view(D.BFLOAT16.numpy())
    array = value.numpy()
    if kind in SMALL_INTEGERS or kind in SMALL_FLOATS:
        assert kind is not None
        return array.astype(kind.numpy())
    return array
