"""Normalisation."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - what everybody calls it

from ..execution.program import Call
from ..execution.table import operator
from ._common import refuse, wrap_axis


def _per_channel(x: Tensor, value: Tensor) -> Tensor:
    return value.reshape(-1, *[1] * (x.dim() - 2))


@operator("BatchNormalization", since=7)
def _batch_normalization(
    x: Tensor,
    scale: Tensor,
    bias: Tensor,
    mean: Tensor,
    variance: Tensor,
    *,
    epsilon: float = 1e-5,
    momentum: float = 0.9,
    spatial: int = 1,
    training_mode: int = 0,
    call: Call,
) -> tuple[Tensor, ...]:
    """With `training_mode` in the statistics of the batch, whose running ones follow."""
    refuse(spatial != 1, "statistics of single elements")
    if not training_mode:
        refuse(call.outputs > 1, "training below opset 14")
        if scale.dtype == bias.dtype == mean.dtype == variance.dtype == x.dtype:
            return (F.batch_norm(x, mean, variance, scale, bias, False, 0.0, epsilon),)
        y = _normalised(x.to(mean.dtype), mean, variance, epsilon)
        return ((y * _per_channel(x, scale) + _per_channel(x, bias)).to(x.dtype),)
    axes = [axis for axis in range(x.dim()) if axis != 1]
    wide = x.to(mean.dtype)
    now, spread = wide.mean(axes), wide.var(axes, correction=0)
    y = _normalised(wide, now, spread, epsilon)
    y = y * _per_channel(x, scale) + _per_channel(x, bias)
    return (
        y.to(x.dtype),
        mean * momentum + now * (1 - momentum),
        variance * momentum + spread * (1 - momentum),
    )


def _normalised(x: Tensor, mean: Tensor, variance: Tensor, epsilon: float) -> Tensor:
    return (x - _per_channel(x, mean)) * torch.rsqrt(_per_channel(x, variance) + epsilon)


@operator("InstanceNormalization", since=6)
def _instance_normalization(
    x: Tensor, scale: Tensor, bias: Tensor, *, epsilon: float = 1e-5
) -> Tensor:
    axes = list(range(2, x.dim()))
    variance, mean = torch.var_mean(x, axes, correction=0, keepdim=True)
    y = (x - mean) * torch.rsqrt(variance + epsilon)
    return y * _per_channel(x, scale) + _per_channel(x, bias)


def _grouped(x: Tensor, groups: int, epsilon: float, stash_type: int, call: Call) -> Tensor:
    wide = x.to(call.dtype(stash_type))
    rows = wide.reshape(x.shape[0], groups, -1)
    variance, mean = torch.var_mean(rows, 2, correction=0, keepdim=True)
    return ((rows - mean) * torch.rsqrt(variance + epsilon)).reshape(x.shape).to(x.dtype)


@operator("GroupNormalization", since=18)
def _group_normalization_of_groups(
    x: Tensor,
    scale: Tensor,
    bias: Tensor,
    *,
    epsilon: float = 1e-5,
    num_groups: int,
    call: Call,
) -> Tensor:
    """Here scale and bias have one element a group."""
    y = _grouped(x, num_groups, epsilon, 1, call)
    each = x.shape[1] // num_groups
    scale, bias = scale.repeat_interleave(each), bias.repeat_interleave(each)
    return y * _per_channel(x, scale) + _per_channel(x, bias)


@operator("GroupNormalization", since=21)
def _group_normalization(
    x: Tensor,
    scale: Tensor,
    bias: Tensor,
    *,
    epsilon: float = 1e-5,
    num_groups: int,
    stash_type: int = 1,
    call: Call,
) -> Tensor:
    y = _grouped(x, num_groups, epsilon, stash_type, call)
    return y * _per_channel(x, scale) + _per_channel(x, bias)


@operator("LayerNormalization")  # onnxruntime has it at any opset
def _layer_normalization(
    x: Tensor,
    scale: Tensor,
    bias: Tensor | None = None,
    *,
    axis: int = -1,
    epsilon: float = 1e-5,
    stash_type: int = 1,
    call: Call,
) -> tuple[Tensor, ...]:
    axis = wrap_axis(axis, x.dim())
    shape = x.shape[axis:]
    held = call.dtype(stash_type)
    plain = scale.shape == shape and (bias is None or bias.shape == shape)
    if plain and call.outputs == 1 and held == x.dtype == scale.dtype:
        return (F.layer_norm(x, shape, scale, bias, epsilon),)
    wide = x.to(held)
    axes = list(range(axis, x.dim()))
    variance, mean = torch.var_mean(wide, axes, correction=0, keepdim=True)
    inverse = torch.rsqrt(variance + epsilon)
    y = ((wide - mean) * inverse).to(x.dtype) * scale
    return (y if bias is None else y + bias), mean, inverse


@operator("RMSNormalization", since=23)
def _rms_normalization(
    x: Tensor,
    scale: Tensor,
    *,
    axis: int = -1,
    epsilon: float = 1e-5,
    stash_type: int = 1,
    call: Call,
) -> Tensor:
    wide = x.to(call.dtype(stash_type))
    axes = list(range(wrap_axis(axis, x.dim()), x.dim()))
    y = wide * torch.rsqrt(wide.square().mean(axes, keepdim=True) + epsilon)
    return y.to(x.dtype) * scale


@operator("LRN")
def _lrn(
    x: Tensor, *, alpha: float = 1e-4, beta: float = 0.75, bias: float = 1.0, size: int
) -> Tensor:
    """The window of an even size reaches further to the right."""
    squares = x.square().reshape(x.shape[0], 1, x.shape[1], -1)
    squares = F.pad(squares, (0, 0, (size - 1) // 2, size // 2))
    sums = F.avg_pool2d(squares, (size, 1), 1)
    return x / (bias + alpha * sums.reshape(x.shape)) ** beta


@operator("LpNormalization")
def _lp_normalization(x: Tensor, *, axis: int = -1, p: int = 2) -> Tensor:
    """Zero stays zero."""
    norm = torch.linalg.vector_norm(x, p, dim=axis, keepdim=True)
    return x / torch.where(norm == 0, torch.ones_like(norm), norm)
