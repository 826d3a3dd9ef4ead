"""Conversions between types."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor

from ..execution.dtypes import SMALL_FLOATS, SMALL_INTEGERS, held_as
from ..execution.program import Call
from ..execution.table import operator
from ._common import refuse

D = ir.DataType


@operator("Cast", since=6)
def _cast(x: Any, *, to: int, saturate: int = 1, round_mode: str = "up", call: Call) -> Any:
    return convert(x, ir.DataType(to), call, saturate=bool(saturate), round_mode=round_mode)


@operator("CastLike", since=15)
def _cast_like(x: Any, like: Any, *, saturate: int = 1, round_mode: str = "up", call: Call) -> Any:
    kind = call.input_type(1, like)
    return convert(x, kind, call, saturate=bool(saturate), round_mode=round_mode)


def convert(
    x: Any, kind: ir.DataType, call: Call, *, saturate: bool = True, round_mode: str = "up"
) -> Any:
    """A value in another type."""
    if isinstance(x, np.ndarray):
        refuse(kind not in (D.FLOAT, D.DOUBLE, D.STRING), "strings as other than floats")
        if kind == D.STRING:
            return x
        return torch.from_numpy(np.asarray(x, np.float64)).to(call.device, call.dtype(kind))
    refuse(kind == D.STRING, "numbers as strings, which implementations write differently")
    if kind in SMALL_FLOATS:
        return round_to(x, kind, saturate=saturate, round_mode=round_mode)
    if kind in SMALL_INTEGERS:
        return _wrapped(x, kind)
    held = call.dtype(kind)
    if held == torch.bool:
        return x != 0
    if x.is_floating_point() and not held.is_floating_point:
        return x.to(torch.int64).to(held) if held in _NARROW else x.to(held)
    return x.to(held)


# From floats, torch leaves it to the processor what a negative number becomes in these.
_NARROW = (torch.uint8, torch.uint16, torch.uint32, torch.int8, torch.int16)


def _wrapped(x: Tensor, kind: ir.DataType) -> Tensor:
    """The low bits of an integer, as one of 2 or 4 bits."""
    bits, signed = SMALL_INTEGERS[kind]
    low: Tensor = x.to(torch.int64) & (2**bits - 1)
    if signed:
        low = torch.where(low >= 2 ** (bits - 1), low - 2**bits, low)
    return low.to(torch.int8 if signed else torch.uint8)


@functools.cache
def _values(kind: ir.DataType) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The finite values of a small float that are not negative, in ascending order."""
    bits = np.arange(2**kind.bitwidth, dtype=np.uint8)
    with np.errstate(invalid="ignore"):
        values = bits.view(kind.numpy()).astype(np.float64)
    return np.unique(values[np.isfinite(values) & (values >= 0)])


def round_to(
    x: Tensor, kind: ir.DataType, *, saturate: bool = True, round_mode: str = "up"
) -> Tensor:
    """Rounds to the values of a small float, halves to even; the result is a float32."""
    wide = x.double()
    values = torch.from_numpy(_values(kind)).to(x.device)
    size, largest = wide.abs(), values[-1]
    if kind == D.FLOAT8E8M0:
        return _powers(wide, values, saturate, round_mode).to(torch.float32)
    middles = (values[:-1] + values[1:]) / 2
    index = torch.searchsorted(middles, size.contiguous())  # a middle belongs to the lower value
    tie = size == middles[index.clamp(max=len(middles) - 1)]
    odd = index % 2 == 1
    index = torch.where(tie & odd & (index < len(middles)), index + 1, index)
    result = values[index]
    infinite = kind == D.FLOAT8E5M2
    if not saturate and kind != D.FLOAT4E2M1:
        # The next value, if there were one, is where rounding begins to leave the range.
        edge = largest + (largest - values[-2]) / 2
        beyond = (size >= edge) if len(values) % 2 == 0 else (size > edge)
        result = torch.where(beyond, math.inf if infinite else math.nan, result)
    result = torch.copysign(result, wide)
    if kind in (D.FLOAT8E4M3FNUZ, D.FLOAT8E5M2FNUZ):
        result = torch.where(result == 0, 0.0, result)
    if kind == D.FLOAT4E2M1:
        return torch.where(wide.isnan(), -0.0, result).to(torch.float32)
    return torch.where(wide.isnan(), math.nan, result).to(torch.float32)


def _powers(x: Tensor, values: Tensor, saturate: bool, round_mode: str) -> Tensor:
    """Rounds to powers of two, up or down or to the nearest."""
    refuse(bool((x < 0).any()), "negative numbers as powers of two")
    if round_mode == "nearest":
        middles = (values[:-1] + values[1:]) / 2
        index = torch.searchsorted(middles, x.contiguous(), right=True)
    elif round_mode == "down":
        index = (torch.searchsorted(values, x.contiguous(), right=True) - 1).clamp(min=0)
    else:
        index = torch.searchsorted(values, x.contiguous()).clamp(max=len(values) - 1)
    result = values[index.clamp(max=len(values) - 1)]
    if not saturate:
        outside = (x > values[-1]) | (x < values[0])
        result = torch.where(outside, math.nan, result)
    return torch.where(x.isnan(), math.nan, result)


@operator("BitCast", since=26)
def _bit_cast(x: Tensor, *, to: int, call: Call) -> Tensor:
    kind = ir.DataType(to)
    own = call.input_type(0, x)
    carried = {*SMALL_FLOATS, *SMALL_INTEGERS}
    refuse(kind in carried or own in carried, "the bits of a type that torch does not have")
    refuse(call.dtype(to) != held_as(kind), "the bits of a type that is computed in another one")
    return x.contiguous().view(held_as(kind))
