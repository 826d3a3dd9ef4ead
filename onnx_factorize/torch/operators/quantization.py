"""Quantised values and products of them; integer sums are exact, in float64."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir
import torch
from torch import Tensor

from ..execution.dtypes import SMALL_FLOATS, SMALL_INTEGERS, held_as
from ..execution.program import Call
from ..execution.table import operator
from ._common import refuse, wrap_axis
from .casting import round_to
from .convolution import convolve

D = ir.DataType


def _spread(value: Tensor, x: Tensor, axis: int, block_size: int) -> Tensor:
    """Scales or zero points, one for each element of x."""
    if value.numel() == 1 and not block_size:
        return value.reshape(())
    axis = wrap_axis(axis, x.dim())
    if block_size:
        return value.repeat_interleave(block_size, axis).narrow(axis, 0, x.shape[axis])
    return value.reshape([-1 if i == axis else 1 for i in range(x.dim())])


@operator("DequantizeLinear", since=10)
def _dequantize(
    x: Tensor,
    scale: Tensor,
    zero: Tensor | None = None,
    *,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: int = 0,
    call: Call,
) -> Tensor:
    held = call.dtype(output_dtype) if output_dtype else scale.dtype
    wide = x.to(torch.float64 if x.dtype == torch.int32 else torch.float32)
    if zero is not None:
        wide = wide - _spread(zero, x, axis, block_size).to(wide.dtype)
    return (wide * _spread(scale, x, axis, block_size).to(wide.dtype)).to(held)


@operator("QuantizeLinear", since=10)
def _quantize(
    x: Tensor,
    scale: Tensor,
    zero: Tensor | None = None,
    *,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: int = 0,
    precision: int = 0,
    saturate: int = 1,
    call: Call,
) -> Tensor:
    given = ir.DataType(output_dtype or D.UINT8)
    kind = given if zero is None else call.input_type(2, zero)
    held = call.dtype(precision) if precision else torch.promote_types(x.dtype, scale.dtype)
    if not held.is_floating_point or (precision == 0 and x.dtype == torch.int32):
        held = torch.float32
    scaled = x.to(held) / _spread(scale, x, axis, block_size).to(held)
    if kind in SMALL_FLOATS:
        refuse(zero is not None and bool((zero != 0).any()), "a zero point of a float type")
        return round_to(scaled, kind, saturate=bool(saturate))
    shift = 0 if zero is None else _spread(zero, x, axis, block_size).to(torch.float64)
    return _saturated(scaled.round().double() + shift, kind)


def _saturated(x: Tensor, kind: ir.DataType) -> Tensor:
    """Whole numbers within an integer type's range."""
    held = held_as(kind)
    low, high = torch.iinfo(held).min, torch.iinfo(held).max
    if kind in SMALL_INTEGERS:
        bits, signed = SMALL_INTEGERS[kind]
        low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    return x.clamp(low, high).to(torch.int64).to(held)


def _centred(x: Tensor, zero: Tensor | None, shape: Sequence[int] = ()) -> Tensor:
    wide = x.double()
    if zero is None:
        return wide
    return wide - (zero.reshape(list(shape)) if shape and zero.numel() > 1 else zero).double()


@operator("MatMulInteger", since=10)
def _matmul_integer(
    a: Tensor, b: Tensor, a_zero: Tensor | None = None, b_zero: Tensor | None = None
) -> Tensor:
    """A zero point of `a` may be one a row, of `b` one a column."""
    rows = [-1, 1] if a_zero is not None and a_zero.dim() == 1 else []
    return torch.matmul(_centred(a, a_zero, rows), _centred(b, b_zero)).to(torch.int32)


@operator("QLinearMatMul", since=10)
def _qlinear_matmul(
    a: Tensor,
    a_scale: Tensor,
    a_zero: Tensor,
    b: Tensor,
    b_scale: Tensor,
    b_zero: Tensor,
    y_scale: Tensor,
    y_zero: Tensor,
    *,
    call: Call,
) -> Tensor:
    rows = [-1, 1] if a_zero.dim() == 1 else []
    product = torch.matmul(_centred(a, a_zero, rows), _centred(b, b_zero))
    left = a_scale.double().reshape(rows) if rows else a_scale.double()
    scaled = product * left * b_scale.double() / y_scale.double()
    return _saturated(scaled.round() + y_zero.double(), call.input_type(7, y_zero))


@operator("ConvInteger", since=10)
def _conv_integer(
    x: Tensor,
    weight: Tensor,
    x_zero: Tensor | None = None,
    w_zero: Tensor | None = None,
    *,
    kernel_shape: Sequence[int] | None = None,  # noqa: ARG001 - the weight has it
    auto_pad: str = "NOTSET",
    dilations: Sequence[int] | None = None,
    group: int = 1,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> Tensor:
    channels = [-1] + [1] * (weight.dim() - 1)
    y = convolve(
        _centred(x, x_zero),
        _centred(weight, w_zero, channels),
        None,
        auto_pad=auto_pad,
        dilations=dilations,
        group=group,
        pads=pads,
        strides=strides,
    )
    return y.to(torch.int32)


@operator("QLinearConv", since=10)
def _qlinear_conv(
    x: Tensor,
    x_scale: Tensor,
    x_zero: Tensor,
    weight: Tensor,
    w_scale: Tensor,
    w_zero: Tensor,
    y_scale: Tensor,
    y_zero: Tensor,
    bias: Tensor | None = None,
    *,
    kernel_shape: Sequence[int] | None = None,  # noqa: ARG001 - the weight has it
    auto_pad: str = "NOTSET",
    dilations: Sequence[int] | None = None,
    group: int = 1,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
    call: Call,
) -> Tensor:
    channels = [-1] + [1] * (weight.dim() - 1)
    y = convolve(
        _centred(x, x_zero),
        _centred(weight, w_zero, channels),
        None if bias is None else bias.double(),
        auto_pad=auto_pad,
        dilations=dilations,
        group=group,
        pads=pads,
        strides=strides,
    )
    each = w_scale.double()
    each = each.reshape(channels[:-1]) if each.numel() > 1 else each
    scaled = y * (x_scale.double() * each / y_scale.double())
    return _saturated(scaled.round() + y_zero.double(), call.input_type(7, y_zero))


@operator("DynamicQuantizeLinear", since=11)
def _dynamic_quantize(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    low, high = x.amin().clamp(max=0), x.amax().clamp(min=0)
    scale = (high - low) / 255
    scale = torch.where(scale == 0, torch.ones_like(scale), scale)
    zero = (-low / scale).round().clamp(0, 255)
    y = ((x / scale).round() + zero).clamp(0, 255)
    return y.to(torch.uint8), scale, zero.to(torch.uint8)
