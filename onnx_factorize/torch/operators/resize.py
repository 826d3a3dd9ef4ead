"""Resampling: along each axis, a sparse matrix of weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ...arrays import Array
from ..execution.table import operator
from ._common import ints, refuse, wrap_axis


@operator("Upsample", since=7, unsigned="bits")
def _upsample_attribute(x: Tensor, *, scales: Sequence[float], mode: str = "nearest") -> Tensor:
    return _upsampled(x, scales, mode)


@operator("Upsample", since=9, unsigned="bits", host={1})
@operator("Resize", since=10, unsigned="bits", host={1})
def _resize_by_scales(x: Tensor, scales: Tensor, *, mode: str = "nearest") -> Tensor:
    return _upsampled(x, scales.tolist(), mode)


def _upsampled(x: Tensor, scales: Sequence[float], mode: str) -> Tensor:
    refuse(mode not in ("nearest", "linear"), f"mode '{mode}'")
    for axis, scale in enumerate(scales):
        size = math.floor(x.shape[axis] * scale)
        places = np.arange(size) / scale
        if mode == "nearest":  # the specification leaves it open; onnxruntime does this
            x = _along(x, axis, np.floor(places) if scale >= 1 else np.ceil(places), None)
        elif scale != 1:
            index, weights = _taps(places, x.shape[axis], 2, lambda t: np.maximum(1 - abs(t), 0))
            x = _along(x, axis, index, weights)
    return x


@operator("Resize", since=11, unsigned="bits", host={1, 2, 3})
def _resize(
    x: Tensor,
    roi: Tensor | None = None,
    scales: Tensor | None = None,
    sizes: Tensor | None = None,
    *,
    antialias: int = 0,
    axes: Sequence[int] | None = None,
    coordinate_transformation_mode: str = "half_pixel",
    cubic_coeff_a: float = -0.75,
    exclude_outside: int = 0,
    extrapolation_value: float = 0.0,
    keep_aspect_ratio_policy: str = "stretch",
    mode: str = "nearest",
    nearest_mode: str = "round_prefer_floor",
) -> Tensor:
    chosen = [wrap_axis(a, x.dim()) for a in axes] if axes is not None else list(range(x.dim()))
    lengths = [x.shape[axis] for axis in chosen]
    if sizes is not None and sizes.numel():
        wanted = ints(sizes)
        ratios = [w / n for w, n in zip(wanted, lengths, strict=True)]
        if keep_aspect_ratio_policy != "stretch":
            pick = min if keep_aspect_ratio_policy == "not_larger" else max
            ratios = [pick(ratios)] * len(ratios)
            wanted = [math.floor(ratios[0] * n + 0.5) for n in lengths]
    else:
        assert scales is not None
        ratios = [float(scale) for scale in scales.tolist()]
        wanted = [math.floor(n * ratio) for n, ratio in zip(lengths, ratios, strict=True)]
    crop = coordinate_transformation_mode == "tf_crop_and_resize"
    region = roi.double().tolist() if crop and roi is not None else []
    outside = []
    kept_type = x.dtype
    for i, axis in enumerate(chosen):
        ends = (region[i], region[i + len(chosen)]) if crop else (0.0, 1.0)
        if wanted[i] == lengths[i] and ratios[i] == 1:
            refuse(ends != (0.0, 1.0), "a crop that keeps the scale, which runtimes ignore")
            continue
        refuse(
            coordinate_transformation_mode == "align_corners"
            and ratios[i] * lengths[i] != wanted[i],
            "aligned corners at a broken scale, on which implementations differ",
        )
        places = _places(coordinate_transformation_mode, lengths[i], wanted[i], ratios[i], ends)
        if crop:
            outside.append((axis, (places < 0) | (places > lengths[i] - 1)))
        if mode == "nearest":
            x = _along(x, axis, _rounded(places, nearest_mode), None)
            continue
        stretch = min(ratios[i], 1.0) if antialias else 1.0
        kernel, support = _kernel(mode, cubic_coeff_a, stretch)
        count = 2 * math.ceil(support)
        index, weights = _taps(places, lengths[i], count, kernel, drop=bool(exclude_outside))
        x = _along(x, axis, index, weights)
    for axis, beyond in outside:
        shape = [-1 if other == axis else 1 for other in range(x.dim())]
        x = torch.where(
            torch.from_numpy(beyond).to(x.device).reshape(shape), extrapolation_value, x
        )
    return x.to(kept_type)


def _places(
    transformation: str, size: int, target: int, scale: float, ends: tuple[float, float]
) -> Array:
    """The place in the original of each element of the result.

    In float32, as runtimes compute it: where two elements are equally near, its rounding decides.
    """
    at = np.arange(target, dtype=np.float32)
    return _transformed(transformation, at, size, target, np.float32(scale), ends).astype(
        np.float64
    )


def _transformed(
    transformation: str,
    at: npt.NDArray[np.float32],
    size: int,
    target: int,
    scale: np.float32,
    ends: tuple[float, float],
) -> npt.NDArray[np.floating[Any]]:
    if transformation == "align_corners":
        return at * (size - 1) / (target - 1) if target > 1 else np.zeros(target)
    if transformation == "asymmetric":
        return at / scale
    if transformation == "pytorch_half_pixel" and target == 1:
        return np.zeros(1)
    if transformation == "tf_crop_and_resize":
        first, last = np.float32(ends[0]), np.float32(ends[1])
        if target == 1:
            return np.array([0.5 * (first + last) * (size - 1)])
        begin = first * (size - 1)
        cropped: npt.NDArray[np.floating[Any]]
        cropped = begin + at * (last - first) * (size - 1) / (target - 1)
        return cropped
    shift = 0.0
    if transformation == "half_pixel_symmetric":
        shift = size / 2 * (1 - target / (scale * size))
    known = ("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel")
    refuse(transformation not in known, f"the coordinates '{transformation}'")
    result: npt.NDArray[np.floating[Any]] = shift + (at + 0.5) / scale - 0.5
    return result


def _rounded(places: Array, mode: str) -> Array:
    if mode == "floor":
        return np.floor(places)
    if mode == "ceil":
        return np.ceil(places)
    if mode == "round_prefer_ceil":
        return np.floor(places + 0.5)
    return np.ceil(places - 0.5)


def _kernel(mode: str, a: float, stretch: float) -> tuple[Callable[[Array], Array], float]:
    """An interpolation kernel, wider where elements are smaller than one, and its reach."""
    if mode == "linear":
        return (lambda t: np.maximum(1 - np.abs(t * stretch), 0)), 1 / stretch
    refuse(mode != "cubic", f"mode '{mode}'")

    def cubic(t: Array) -> Array:
        """Keys, "Cubic convolution interpolation for digital image processing", 1981."""
        t = np.abs(t * stretch)
        near = ((a + 2) * t - (a + 3)) * t * t + 1
        far = ((a * t - 5 * a) * t + 8 * a) * t - 4 * a
        result: Array = np.where(t <= 1, near, np.where(t < 2, far, 0))
        return result

    return cubic, 2 / stretch


def _taps(
    places: Array, size: int, count: int, kernel: Callable[[Array], Array], *, drop: bool = False
) -> tuple[Array, Array]:
    """The elements that each place reads, and their weights, which sum to one.

    Args:
        places: Coordinates in the original.
        size: Its length.
        count: How many elements around a place to look at.
        kernel: Weight by distance.
        drop: Whether elements beyond the ends have no weight, instead of that of the last one.
    """
    first = np.floor(places) - count // 2 + 1
    index: Array = first[:, None] + np.arange(count, dtype=np.float64)
    weights = kernel(index - places[:, None])
    if drop:
        weights = np.where((index >= 0) & (index < size), weights, 0)
    weights = weights / weights.sum(1, keepdims=True)
    return index, weights


def _along(x: Tensor, axis: int, index: Array, weights: Array | None) -> Tensor:
    """Reads elements along one axis, or weighted sums of several."""
    size = x.shape[axis]
    if weights is None:
        where = torch.from_numpy(np.clip(index, 0, size - 1).astype(np.int64))
        return x.index_select(axis, where.to(x.device))
    matrix = np.zeros((len(index), size))
    rows = np.broadcast_to(np.arange(len(index))[:, None], index.shape)
    np.add.at(matrix, (rows, np.clip(index, 0, size - 1).astype(np.int64)), weights)
    held: Any = x.dtype if x.is_floating_point() else torch.float32
    product = torch.from_numpy(matrix).to(device=x.device, dtype=held)
    return torch.matmul(x.movedim(axis, -1).to(held), product.T).movedim(-1, axis)
