"""Reductions, arguments of extrema, cumulative sums and products."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..execution.table import operator
from ._common import ints, is_integer, refuse, set_axes, wrap_axis


def _sum(x: Tensor, axes: list[int]) -> Tensor:
    return x.sum(axes, keepdim=True, dtype=x.dtype)


def _mean(x: Tensor, axes: list[int]) -> Tensor:
    if is_integer(x):
        count = math.prod(x.shape[axis] for axis in axes)
        return torch.div(_sum(x, axes), count, rounding_mode="trunc")
    return x.mean(axes, keepdim=True)


def _product(x: Tensor, axes: list[int]) -> Tensor:
    for axis in axes:
        x = x.prod(axis, keepdim=True, dtype=x.dtype)
    return x


def _extreme(x: Tensor, axes: list[int], *, largest: bool) -> Tensor:
    if all(x.shape[axis] for axis in axes):
        return x.amax(axes, keepdim=True) if largest else x.amin(axes, keepdim=True)
    return x.new_full([1 if i in axes else n for i, n in enumerate(x.shape)], _worst(x, largest))


def _worst(x: Tensor, largest: bool) -> float:
    """The extremum of nothing."""
    if x.dtype == torch.bool:
        return not largest
    if x.is_floating_point():
        return -math.inf if largest else math.inf
    info = torch.iinfo(x.dtype)
    return info.min if largest else info.max


def _maximum(x: Tensor, axes: list[int]) -> Tensor:
    return _extreme(x, axes, largest=True)


def _minimum(x: Tensor, axes: list[int]) -> Tensor:
    return _extreme(x, axes, largest=False)


def _l1(x: Tensor, axes: list[int]) -> Tensor:
    return _sum(x.abs(), axes)


def _l2(x: Tensor, axes: list[int]) -> Tensor:
    if is_integer(x):
        return _sum(x.double().square(), axes).sqrt().to(x.dtype)
    return torch.linalg.vector_norm(x, dim=axes, keepdim=True) if axes else x.abs()


def _log_sum(x: Tensor, axes: list[int]) -> Tensor:
    refuse(is_integer(x), "logarithms of integers, the rounding of which differs")
    return _sum(x, axes).log()


def _log_sum_exp(x: Tensor, axes: list[int]) -> Tensor:
    refuse(is_integer(x), "logarithms of integers, the rounding of which differs")
    return torch.logsumexp(x, axes, keepdim=True) if axes else x


def _sum_square(x: Tensor, axes: list[int]) -> Tensor:
    return _sum(x * x, axes)


_REDUCTIONS = {
    "ReduceL1": _l1,
    "ReduceL2": _l2,
    "ReduceLogSum": _log_sum,
    "ReduceLogSumExp": _log_sum_exp,
    "ReduceMax": _maximum,
    "ReduceMean": _mean,
    "ReduceMin": _minimum,
    "ReduceProd": _product,
    "ReduceSum": _sum,
    "ReduceSumSquare": _sum_square,
}


def _register(name: str) -> None:
    function = _REDUCTIONS[name]

    @operator(name, unsigned="wide", host={1})
    def _(
        x: Tensor,
        given: Tensor | None = None,
        *,
        axes: Sequence[int] | None = None,
        keepdims: int = 1,
        noop_with_empty_axes: int = 0,
    ) -> Tensor:
        """Axes are an attribute at first, an input later."""
        chosen = ints(given) if given is not None else list(axes or ())
        if not chosen and not noop_with_empty_axes:
            chosen = list(range(x.dim()))
        chosen = set_axes(chosen, x.dim())
        # torch takes an empty list of axes for all of them: reduce an axis of length one instead.
        result = function(x, chosen) if chosen else function(x[None], [0])[0]
        if not keepdims and chosen:
            result = result.squeeze(chosen)
        return result


for _name in _REDUCTIONS:
    _register(_name)


def _argument(x: Tensor, axis: int, keepdims: int, last: int, largest: bool) -> Tensor:
    choose = torch.argmax if largest else torch.argmin
    axis = wrap_axis(axis, x.dim())
    if not last:
        return choose(x, axis, keepdim=bool(keepdims))
    return x.shape[axis] - 1 - choose(x.flip(axis), axis, keepdim=bool(keepdims))


@operator("ArgMax", unsigned="read")
def _arg_max(x: Tensor, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Tensor:
    return _argument(x, axis, keepdims, select_last_index, largest=True)


@operator("ArgMin", unsigned="read")
def _arg_min(x: Tensor, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Tensor:
    return _argument(x, axis, keepdims, select_last_index, largest=False)


@operator("CumSum", since=11, unsigned="wide", host={1})
def _cum_sum(x: Tensor, axis: Tensor, *, exclusive: int = 0, reverse: int = 0) -> Tensor:
    dim = wrap_axis(int(axis), x.dim())
    x = x.flip(dim) if reverse else x
    if exclusive:
        x = torch.cat([torch.zeros_like(x.narrow(dim, 0, 1)), _but_last(x, dim)], dim)
    x = x.cumsum(dim, dtype=x.dtype)
    return x.flip(dim) if reverse else x


@operator("CumProd", since=26, unsigned="wide", host={1})
def _cum_prod(x: Tensor, axis: Tensor, *, exclusive: int = 0, reverse: int = 0) -> Tensor:
    dim = wrap_axis(int(axis), x.dim())
    x = x.flip(dim) if reverse else x
    if exclusive:
        x = torch.cat([torch.ones_like(x.narrow(dim, 0, 1)), _but_last(x, dim)], dim)
    x = x.cumprod(dim, dtype=x.dtype)
    return x.flip(dim) if reverse else x


def _but_last(x: Tensor, dim: int) -> Tensor:
    return x.narrow(dim, 0, x.shape[dim] - 1)
