"""Convolutions."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - what everybody calls it

from ...graph.auto_pad import halves
from ..execution.table import operator
from ._common import interleaved, ints, padding, refuse

_CONV: dict[int, Any] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_TRANSPOSED: dict[int, Any] = {
    1: F.conv_transpose1d,
    2: F.conv_transpose2d,
    3: F.conv_transpose3d,
}


def convolve(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Sequence[int] | None = None,
    group: int = 1,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> Tensor:
    """A convolution over one to three spatial axes, with ONNX's attributes."""
    rank = x.dim() - 2
    refuse(rank not in _CONV, f"a convolution over {rank} axes")
    strides = list(strides or [1] * rank)
    dilations = list(dilations or [1] * rank)
    spans = [(k - 1) * d + 1 for k, d in zip(weight.shape[2:], dilations, strict=True)]
    before, after = padding(auto_pad, pads, x.shape[2:], spans, strides)
    if before == after and min(before, default=0) >= 0:
        inside = before
    else:
        inside = [0] * rank
        x = F.pad(x, interleaved(before, after))
    if rank == 2 and group > 1 and x.device.type == "cpu" and x.is_floating_point():
        # Depthwise convolutions take half of the time, others a little less; it lasts to the next.
        x = x.contiguous(memory_format=torch.channels_last)
    y: Tensor = _CONV[rank](x, weight, bias, strides, inside, dilations, group)
    return y


@operator("Conv")
def _conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    kernel_shape: Sequence[int] | None = None,  # noqa: ARG001 - the weight has it
    auto_pad: str = "NOTSET",
    dilations: Sequence[int] | None = None,
    group: int = 1,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> Tensor:
    return convolve(
        x,
        weight,
        bias,
        auto_pad=auto_pad,
        dilations=dilations,
        group=group,
        pads=pads,
        strides=strides,
    )


@operator("ConvTranspose")
def _conv_transpose(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    kernel_shape: Sequence[int] | None = None,  # noqa: ARG001 - the weight has it
    auto_pad: str = "NOTSET",
    dilations: Sequence[int] | None = None,
    group: int = 1,
    output_padding: Sequence[int] | None = None,
    output_shape: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> Tensor:
    """Everything that any input reaches, cropped by the padding."""
    rank = x.dim() - 2
    refuse(rank not in _CONV, f"a convolution over {rank} axes")
    strides = list(strides or [1] * rank)
    dilations = list(dilations or [1] * rank)
    extra = list(output_padding or [0] * rank)
    y = _TRANSPOSED[rank](x, weight, None, strides, 0, 0, group, dilations)
    sizes = [size + more for size, more in zip(y.shape[2:], extra, strict=True)]
    if output_shape is not None or auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        wanted = (
            list(output_shape)[-rank:]
            if output_shape is not None
            else [size * stride for size, stride in zip(x.shape[2:], strides, strict=True)]
        )
        totals = [size - want for size, want in zip(sizes, wanted, strict=True)]
        refuse(
            min(totals) < 0 and output_shape is None,
            "an output beyond what inputs reach, on which runtimes differ",
        )
        cut = [halves(total, auto_pad) for total in totals]
        before, after = [start for start, _ in cut], [end for _, end in cut]
    else:
        given = list(pads) if pads is not None and auto_pad == "NOTSET" else [0] * (2 * rank)
        before, after = given[:rank], given[rank:]
    crop = [more - end for more, end in zip(extra, after, strict=True)]
    y = F.pad(y, interleaved([-start for start in before], crop))
    return y if bias is None else y + bias.reshape(-1, *[1] * rank)


@operator("Col2Im", since=18, host={1, 2})
def _col2im(
    x: Tensor,
    image_shape: Tensor,
    block_shape: Tensor,
    *,
    dilations: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> Tensor:
    """Adds each column's elements to the places of the image that they came from."""
    image, block = ints(image_shape), ints(block_shape)
    rank = len(image)
    pads = list(pads or [0] * (2 * rank))
    strides, dilations = list(strides or [1] * rank), list(dilations or [1] * rank)
    padded = [size + pads[i] + pads[i + rank] for i, size in enumerate(image)]
    counts = [
        (padded[i] - dilations[i] * (block[i] - 1) - 1) // strides[i] + 1 for i in range(rank)
    ]
    # Along each axis, the place of element k of window w; then the places of all combinations.
    places = torch.zeros(1, 1, dtype=torch.int64, device=x.device)
    for i in range(rank):
        along = (
            dilations[i] * torch.arange(block[i], device=x.device)[:, None]
            + strides[i] * torch.arange(counts[i], device=x.device)[None]
        )
        places = places[:, None, :, None] * padded[i] + along[None, :, None, :]
        places = places.reshape(places.shape[0] * block[i], -1)
    n = x.shape[0]
    columns = x.reshape(n, -1, places.numel())
    result = x.new_zeros(n, columns.shape[1], torch.Size(padded).numel())
    result = result.index_add(2, places.reshape(-1), columns)
    before, after = pads[:rank], pads[rank:]
    return F.pad(
        result.reshape(n, -1, *padded),
        interleaved([-each for each in before], [-each for each in after]),
    )


@operator("DeformConv", since=19)
def _deform_conv(
    x: Tensor,
    weight: Tensor,
    offset: Tensor,
    bias: Tensor | None = None,
    mask: Tensor | None = None,
    *,
    kernel_shape: Sequence[int] | None = None,  # noqa: ARG001 - the weight has it
    dilations: Sequence[int] | None = None,
    group: int = 1,
    offset_group: int = 1,
    pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> Tensor:
    """A convolution over an image that is sampled, bilinearly, at places that are computed."""
    refuse(x.dim() != 4, "a deformable convolution of other than images")
    n, c, height, width = x.shape
    kh, kw = weight.shape[2:]
    oh, ow = offset.shape[2:]
    pads, strides, dilations = pads or [0] * 4, strides or [1, 1], dilations or [1, 1]
    offset = offset.reshape(n, offset_group, kh * kw, 2, oh, ow)
    window = torch.tensor(
        list(itertools.product(range(kh), range(kw))), dtype=x.dtype, device=x.device
    )
    rows = torch.arange(oh, dtype=x.dtype, device=x.device) * strides[0] - pads[0]
    columns = torch.arange(ow, dtype=x.dtype, device=x.device) * strides[1] - pads[1]
    v = offset[:, :, :, 0] + rows[:, None] + dilations[0] * window[:, 0, None, None]
    u = offset[:, :, :, 1] + columns + dilations[1] * window[:, 1, None, None]
    groups = x.reshape(n, offset_group, c // offset_group, height * width)
    sampled = bilinear(groups, v.flatten(2), u.flatten(2), height, width)
    sampled = sampled.reshape(n, offset_group, -1, kh * kw, oh, ow)
    if mask is not None:
        sampled = sampled * mask.reshape(n, offset_group, 1, kh * kw, oh, ow)
    sampled = sampled.reshape(n, group, c // group * kh * kw, oh * ow)
    matrices = weight.reshape(group, weight.shape[0] // group, -1)
    y = torch.matmul(matrices, sampled).reshape(n, -1, oh, ow)
    return y if bias is None else y + bias[:, None, None]


def bilinear(images: Tensor, v: Tensor, u: Tensor, height: int, width: int) -> Tensor:
    """Samples images between their pixels; beyond them they are zero.

    Args:
        images: Shape (..., channels, height * width).
        v: Rows, shape (..., places).
        u: Columns, of the same shape.
        height: Of the images.
        width: Of the images.

    Returns:
        Shape (..., channels, places).
    """
    total = torch.zeros((), dtype=images.dtype, device=images.device)
    top, left = v.floor(), u.floor()
    for down, right in itertools.product((0, 1), (0, 1)):
        row, column = top + down, left + right
        share = (1 - (v - row).abs()) * (1 - (u - column).abs())
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        index = torch.where(inside, row * width + column, 0).to(torch.int64)
        index = index[..., None, :].expand(*images.shape[:-1], index.shape[-1])
        total = total + images.gather(-1, index) * (share * inside)[..., None, :]
    return total
