"""Operators that read or write elements by index."""

from __future__ import annotations

import torch
from torch import Tensor

from ..execution.table import operator
from ._common import ints, refuse, wrap_axis


def _positive(index: Tensor, size: int) -> Tensor:
    index = index.to(torch.int64)
    return torch.where(index < 0, index + size, index)


@operator("Gather", unsigned="bits")
def _gather(x: Tensor, index: Tensor, *, axis: int = 0) -> Tensor:
    axis = wrap_axis(axis, x.dim())
    flat = _positive(index.reshape(-1), x.shape[axis])
    found = x.index_select(axis, flat)
    return found.reshape((*x.shape[:axis], *index.shape, *x.shape[axis + 1 :]))


@operator("GatherElements", since=11, unsigned="bits")
def _gather_elements(x: Tensor, index: Tensor, *, axis: int = 0) -> Tensor:
    return torch.gather(x, axis, _positive(index, x.shape[axis]))


def _linear(index: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Row indices of tuples along the last axis, in a tensor whose first axes are flattened."""
    result = torch.zeros(index.shape[:-1], dtype=torch.int64, device=index.device)
    for i, size in enumerate(shape):
        part = _positive(index[..., i], size)
        if index.device.type == "cpu":  # elsewhere looking would wait for the device
            refuse(bool(((part < 0) | (part >= size)).any()), "an index is out of bounds")
        result = result * size + part
    return result


@operator("GatherND", since=11, unsigned="bits")
def _gather_nd(x: Tensor, index: Tensor, *, batch_dims: int = 0) -> Tensor:
    batch = x.shape[:batch_dims]
    depth = index.shape[-1]
    inner = x.shape[batch_dims : batch_dims + depth]
    rest = x.shape[batch_dims + depth :]
    flat = _linear(index, tuple(inner)).reshape(batch.numel(), -1)
    offset = torch.arange(batch.numel(), device=x.device)[:, None] * inner.numel()
    rows = x.reshape(batch.numel() * inner.numel(), *rest)
    return rows.index_select(0, (flat + offset).reshape(-1)).reshape((*index.shape[:-1], *rest))


_REDUCE = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}


@operator("Scatter", since=9, unsigned="bits")
@operator("ScatterElements", since=11, unsigned="bits")
def _scatter_elements(
    x: Tensor, index: Tensor, updates: Tensor, *, axis: int = 0, reduction: str = "none"
) -> Tensor:
    index = _positive(index, x.shape[axis])
    if reduction == "none":
        return x.scatter(axis, index, updates.to(x.dtype))
    return x.scatter_reduce(axis, index, updates.to(x.dtype), _REDUCE[reduction])


@operator("ScatterND", since=11, unsigned="bits")
def _scatter_nd(x: Tensor, index: Tensor, updates: Tensor, *, reduction: str = "none") -> Tensor:
    depth = index.shape[-1]
    flat = _linear(index, tuple(x.shape[:depth])).reshape(-1)
    inner = x.shape[depth:]
    rows = x.reshape(x.shape[:depth].numel(), inner.numel())
    values = updates.to(x.dtype).reshape(flat.numel(), inner.numel())
    where = flat[:, None].expand_as(values)
    if reduction == "none":
        return rows.scatter(0, where, values).reshape(x.shape)
    return rows.scatter_reduce(0, where, values, _REDUCE[reduction]).reshape(x.shape)


@operator("TensorScatter", since=24, unsigned="bits")
def _tensor_scatter(
    cache: Tensor,
    update: Tensor,
    start: Tensor | None = None,
    *,
    axis: int = -2,
    mode: str = "linear",
) -> Tensor:
    axis = wrap_axis(axis, cache.dim())
    steps = torch.arange(update.shape[axis], device=cache.device)[None]
    first = torch.zeros(1, 1, dtype=torch.int64) if start is None else start[:, None]
    index = first.to(cache.device) + steps
    if mode == "circular":
        index = index % cache.shape[axis]
    shape = [1] * cache.dim()
    shape[0], shape[axis] = index.shape
    return cache.scatter(axis, index.reshape(shape).expand(update.shape), update)


@operator("Compress", since=9, unsigned="bits")
def _compress(x: Tensor, condition: Tensor, *, axis: int | None = None) -> Tensor:
    index = condition.nonzero().reshape(-1)
    return x.reshape(-1)[index] if axis is None else x.index_select(axis, index)


@operator("NonZero", since=9, unsigned="read")
def _non_zero(x: Tensor) -> Tensor:
    return x.nonzero().T.contiguous()


@operator("OneHot", since=9, host={1})
def _one_hot(index: Tensor, depth: Tensor, values: Tensor, *, axis: int = -1) -> Tensor:
    """Indices out of range give a row of the off value."""
    count = int(depth.reshape(()))
    index = _positive(index, count).to(values.device)
    axis = wrap_axis(axis, index.dim() + 1)
    shape = [1] * (index.dim() + 1)
    shape[axis] = count
    classes = torch.arange(count, device=values.device).reshape(shape)
    return torch.where(index.unsqueeze(axis) == classes, values[1], values[0])


@operator("TopK", unsigned="wide")
def _top_k_attribute(x: Tensor, *, k: int, axis: int = -1) -> tuple[Tensor, Tensor]:
    return _top_k(x, torch.tensor([k]), axis=axis)


@operator("TopK", since=10, unsigned="wide", host={1})
def _top_k(
    x: Tensor,
    k: Tensor,
    *,
    axis: int = -1,
    largest: int = 1,
    sorted_: int = 1,  # noqa: ARG001 - sorted is one of the orders that are allowed
) -> tuple[Tensor, Tensor]:
    """Of equal elements the one of the lower index comes first, which torch.topk leaves open."""
    count = ints(k)[0]
    refuse(count > x.shape[axis], "k is larger than the axis")
    values, indices = torch.sort(x, dim=axis, descending=bool(largest), stable=True)
    return values.narrow(axis, 0, count), indices.narrow(axis, 0, count)


@operator("Unique", since=11, unsigned="wide")
def _unique(
    x: Tensor, *, axis: int | None = None, sorted_: int = 1
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Values, first indices, inverse indices and counts; unsorted is in order of appearance."""
    x, dim = (x.reshape(-1), 0) if axis is None else (x, wrap_axis(axis, x.dim()))
    values, inverse, counts = torch.unique(x, dim=dim, return_inverse=True, return_counts=True)
    count = values.shape[dim]
    places = torch.arange(x.shape[dim], device=x.device)
    first = torch.full((count,), x.shape[dim], dtype=torch.int64, device=x.device)
    first = first.scatter_reduce(0, inverse, places, "amin")
    if not sorted_:
        order = first.argsort()
        rank = torch.empty_like(order)
        rank[order] = torch.arange(count, device=x.device)
        values, counts = values.index_select(dim, order), counts[order]
        first, inverse = first[order], rank[inverse]
    return values, first, inverse, counts
