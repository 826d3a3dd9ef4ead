"""Pooling."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - what everybody calls it

from ..execution.program import Call
from ..execution.table import operator
from ._common import interleaved, ints, padding, refuse

_MAX: dict[int, Any] = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
_AVERAGE: dict[int, Any] = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


@dataclasses.dataclass
class _Windows:
    """The windows: `after` is what the attributes ask for, `beyond` what the last reads."""

    kernel: list[int]
    strides: list[int]
    dilations: list[int]
    before: list[int]
    after: list[int]
    beyond: list[int]

    def pad(self, x: Tensor, value: float) -> Tensor:
        ends = [a + b for a, b in zip(self.after, self.beyond, strict=True)]
        return F.pad(x, interleaved(self.before, ends), value=value)


def _windows(
    x: Tensor,
    kernel_shape: Sequence[int],
    auto_pad: str,
    ceil_mode: int,
    dilations: Sequence[int] | None,
    pads: Sequence[int] | None,
    strides: Sequence[int] | None,
) -> _Windows:
    rank = x.dim() - 2
    refuse(rank not in _MAX, f"pooling over {rank} axes")
    strides, dilations = list(strides or [1] * rank), list(dilations or [1] * rank)
    spans = [(k - 1) * d + 1 for k, d in zip(kernel_shape, dilations, strict=True)]
    before, after = padding(auto_pad, pads, x.shape[2:], spans, strides)
    for size, span, stride in zip(x.shape[2:], spans, strides, strict=True):
        read = (math.ceil(size / stride) - 1) * stride + span
        refuse(
            auto_pad.startswith("SAME") and read < size,
            "windows smaller than their steps, from where runtimes differ",
        )
    beyond = []
    for i, size in enumerate(x.shape[2:]):
        room = size + before[i] + after[i] - spans[i]
        count = (math.ceil if ceil_mode else math.floor)(room / strides[i]) + 1
        if ceil_mode and (count - 1) * strides[i] >= size + before[i]:
            count -= 1  # a window must not begin in the padding at the end
        beyond.append((count - 1) * strides[i] - room)
    return _Windows(list(kernel_shape), strides, dilations, before, after, beyond)


@operator("MaxPool")
def _max_pool(
    x: Tensor,
    *,
    kernel_shape: Sequence[int],
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    dilations: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    storage_order: int = 0,
    strides: Sequence[int] | None = None,
    call: Call,
) -> tuple[Tensor, ...]:
    windows = _windows(x, kernel_shape, auto_pad, ceil_mode, dilations, pads, strides)
    floating = x if x.is_floating_point() else x.float()  # which holds 8 bits exactly
    rank = x.dim() - 2
    arguments = (windows.pad(floating, -math.inf), windows.kernel, windows.strides, 0)
    if call.outputs < 2:
        return (_MAX[rank](*arguments, windows.dilations).to(x.dtype),)
    y, index = _MAX[rank](*arguments, windows.dilations, return_indices=True)
    return y.to(x.dtype), _flat_index(index, x, windows, storage_order)


def _flat_index(index: Tensor, x: Tensor, windows: _Windows, storage_order: int) -> Tensor:
    """Indices into the whole unpadded tensor, from those into one padded channel."""
    sizes = x.shape[2:]
    coordinates: list[Tensor] = []
    for i in reversed(range(len(sizes))):
        padded = sizes[i] + windows.before[i] + windows.after[i] + windows.beyond[i]
        coordinates.insert(0, index % padded - windows.before[i])
        index = index // padded
    flat = torch.zeros_like(index)
    order = range(len(sizes))
    for i in reversed(order) if storage_order else order:
        flat = flat * sizes[i] + coordinates[i]
    channels = torch.arange(x.shape[0] * x.shape[1], device=x.device) * sizes.numel()
    return flat + channels.reshape(x.shape[0], x.shape[1], *[1] * len(sizes))


def _sums(x: Tensor, windows: _Windows) -> Tensor:
    """Sum over each window of a padded tensor."""
    if set(windows.dilations) == {1}:
        mean: Tensor = _AVERAGE[x.dim() - 2](x, windows.kernel, windows.strides)
        return mean * math.prod(windows.kernel)
    for i, (size, stride, dilation) in enumerate(
        zip(windows.kernel, windows.strides, windows.dilations, strict=True)
    ):
        spread = x.unfold(i + 2, (size - 1) * dilation + 1, stride)
        x = spread[..., ::dilation].sum(-1)
    return x


@operator("AveragePool")
def _average_pool(
    x: Tensor,
    *,
    kernel_shape: Sequence[int],
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    count_include_pad: int = 0,
    dilations: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> Tensor:
    windows = _windows(x, kernel_shape, auto_pad, ceil_mode, dilations, pads, strides)
    if not any((*windows.before, *windows.after, *windows.beyond)) and set(windows.dilations) == {
        1
    }:
        plain: Tensor = _AVERAGE[x.dim() - 2](x, windows.kernel, windows.strides)
        return plain
    counted = torch.ones(1, 1, *x.shape[2:], dtype=x.dtype, device=x.device)
    if count_include_pad:
        counted = F.pad(counted, interleaved(windows.before, windows.after), value=1)
        counted = F.pad(counted, interleaved([0] * len(windows.beyond), windows.beyond))
    else:
        counted = windows.pad(counted, 0)
    return _sums(windows.pad(x, 0), windows) / _sums(counted, windows)


@operator("LpPool", since=2)
def _lp_pool(
    x: Tensor,
    *,
    kernel_shape: Sequence[int],
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    dilations: Sequence[int] | None = None,
    p: int = 2,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> Tensor:
    windows = _windows(x, kernel_shape, auto_pad, ceil_mode, dilations, pads, strides)
    return _sums(windows.pad(x.abs() ** p, 0), windows) ** (1 / p)


def _spatial(x: Tensor) -> list[int]:
    return list(range(2, x.dim()))


@operator("GlobalAveragePool")
def _global_average_pool(x: Tensor) -> Tensor:
    return x.mean(_spatial(x), keepdim=True)


@operator("GlobalMaxPool")
def _global_max_pool(x: Tensor) -> Tensor:
    return x.amax(_spatial(x), keepdim=True)


@operator("GlobalLpPool", since=2)
def _global_lp_pool(x: Tensor, *, p: int = 2) -> Tensor:
    return (x.abs() ** p).sum(_spatial(x), keepdim=True) ** (1 / p)


@operator("MaxUnpool", since=9, host={2})
def _max_unpool(
    x: Tensor,
    index: Tensor,
    output_shape: Tensor | None = None,
    *,
    kernel_shape: Sequence[int],
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> Tensor:
    """Indices count in the tensor without padding, even where a larger one is asked for."""
    rank = len(kernel_shape)
    strides, pads = list(strides or [1] * rank), list(pads or [0] * (2 * rank))
    sizes = [
        (x.shape[i + 2] - 1) * strides[i] - pads[i] - pads[i + rank] + kernel_shape[i]
        for i in range(rank)
    ]
    shape = [*x.shape[:2], *sizes]
    flat = x.new_zeros(math.prod(shape)).scatter(0, index.reshape(-1), x.reshape(-1))
    y = flat.reshape(shape)
    if output_shape is None:
        return y
    wanted = ints(output_shape)
    return F.pad(y, interleaved([0] * x.dim(), [w - s for w, s in zip(wanted, shape, strict=True)]))
