"""Sampling of images at places that are computed, and boxes."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - what everybody calls it

from ..execution.table import operator
from ._common import ints, refuse
from .convolution import bilinear

_MODES = {"linear": "bilinear", "cubic": "bicubic"}


@operator("GridSample", since=16)
def _grid_sample(
    x: Tensor,
    grid: Tensor,
    *,
    align_corners: int = 0,
    mode: str = "linear",
    padding_mode: str = "zeros",
) -> Tensor:
    mode = _MODES.get(mode, mode)
    refuse(x.dim() == 5 and mode == "bicubic", "cubic sampling of volumes")
    return F.grid_sample(x, grid.to(x.dtype), mode, padding_mode, bool(align_corners))


@operator("RoiAlign", since=10)
def _roi_align_corners(
    x: Tensor,
    rois: Tensor,
    batch_index: Tensor,
    *,
    mode: str = "avg",
    output_height: int = 1,
    output_width: int = 1,
    sampling_ratio: int = 0,
    spatial_scale: float = 1.0,
) -> Tensor:
    return _roi_align(
        x,
        rois,
        batch_index,
        coordinate_transformation_mode="output_half_pixel",
        mode=mode,
        output_height=output_height,
        output_width=output_width,
        sampling_ratio=sampling_ratio,
        spatial_scale=spatial_scale,
    )


@operator("RoiAlign", since=16)
def _roi_align(
    x: Tensor,
    rois: Tensor,
    batch_index: Tensor,
    *,
    coordinate_transformation_mode: str = "half_pixel",
    mode: str = "avg",
    output_height: int = 1,
    output_width: int = 1,
    sampling_ratio: int = 0,
    spatial_scale: float = 1.0,
) -> Tensor:
    half = coordinate_transformation_mode == "half_pixel"
    if not len(rois):
        return x.new_zeros(0, x.shape[1], output_height, output_width)
    found = []
    for box, image in zip(rois, ints(batch_index), strict=True):
        left, top, right, bottom = (box * spatial_scale - (0.5 if half else 0.0)).tolist()
        high, wide = bottom - top, right - left
        if not half:
            high, wide = max(high, 1.0), max(wide, 1.0)
        rows, per_row = _samples(top, high, output_height, sampling_ratio, x)
        columns, per_column = _samples(left, wide, output_width, sampling_ratio, x)
        v = rows[:, None].expand(-1, len(columns)).reshape(-1)
        u = columns[None].expand(len(rows), -1).reshape(-1)
        values = _clamped(x[image], v, u, maximum=mode == "max")
        shape = (x.shape[1], output_height, per_row, output_width, per_column)
        bins = values.reshape(shape)
        found.append(bins.amax((2, 4)) if mode == "max" else bins.mean((2, 4)))
    return torch.stack(found)


def _samples(start: float, length: float, count: int, ratio: int, x: Tensor) -> tuple[Tensor, int]:
    """Coordinates of all samples along one axis, and how many belong to each bin."""
    each = ratio if ratio > 0 else math.ceil(length / count)
    total = count * each
    at = (torch.arange(total, dtype=torch.float64) + 0.5) * (length / max(total, 1)) + start
    return at.to(device=x.device, dtype=x.dtype), each


def _clamped(image: Tensor, v: Tensor, u: Tensor, *, maximum: bool) -> Tensor:
    """Samples of one image; up to a pixel beyond it they are the border's, further out zero."""
    c, height, width = image.shape
    outside = (v < -1) | (v > height) | (u < -1) | (u > width)
    v, u = v.clamp(0, height - 1), u.clamp(0, width - 1)
    refuse(maximum, "maximum over weighted corners, on which implementations differ")
    values = bilinear(image.reshape(c, height * width), v, u, height, width)
    return torch.where(outside, 0, values)


@operator("NonMaxSuppression", since=10, host={2, 3, 4})
def _non_max_suppression(
    boxes: Tensor,
    scores: Tensor,
    most: Tensor | None = None,
    iou_threshold: Tensor | None = None,
    score_threshold: Tensor | None = None,
    *,
    center_point_box: int = 0,
) -> Tensor:
    """Rows of (batch, class, box), from the best box of a class down."""
    limit = 0 if most is None else int(most.reshape(-1)[0])
    overlap = 0.0 if iou_threshold is None else float(iou_threshold.reshape(-1)[0])
    least = -math.inf if score_threshold is None else float(score_threshold.reshape(-1)[0])
    selected: list[tuple[int, int, int]] = []
    for b in range(scores.shape[0]):
        corners = _corners(boxes[b].double(), bool(center_point_box))
        for c in range(scores.shape[1]):
            order = torch.argsort(scores[b, c], descending=True, stable=True)
            kept: list[int] = []
            for i in ints(order):
                if len(kept) >= limit or float(scores[b, c, i]) <= least:
                    break
                if not kept or float(_iou(corners[i], corners[kept]).max()) <= overlap:
                    kept.append(i)
            selected += [(b, c, i) for i in kept]
    return torch.tensor(selected, dtype=torch.int64, device=boxes.device).reshape(-1, 3)


def _corners(boxes: Tensor, centred: bool) -> Tensor:
    """Boxes as (low, low, high, high)."""
    first, second = boxes[:, :2], boxes[:, 2:]
    if centred:
        first, second = first - second / 2, first + second / 2
    return torch.cat([torch.minimum(first, second), torch.maximum(first, second)], 1)


def _iou(box: Tensor, others: Tensor) -> Tensor:
    low = torch.maximum(box[:2], others[:, :2])
    high = torch.minimum(box[2:], others[:, 2:])
    common = (high - low).clamp(min=0).prod(1)
    area = (box[2:] - box[:2]).prod()
    areas = (others[:, 2:] - others[:, :2]).prod(1)
    union = area + areas - common
    return torch.where(union > 0, common / union, 0)
