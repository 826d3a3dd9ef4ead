"""Operators that make tensors of shapes, ranges or chance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import onnx_ir as ir
import torch
from torch import Tensor

from ..execution.dtypes import from_numpy
from ..execution.program import Call
from ..execution.table import operator
from ._common import ints


@operator("ConstantOfShape", since=9)
def _constant_of_shape(
    shape: Tensor, *, value: ir.TensorProtocol | None = None, call: Call
) -> Tensor:
    if value is None:
        return torch.zeros(ints(shape), dtype=call.dtype(1), device=call.device)
    element: Tensor = from_numpy(value.numpy()).reshape(())
    return element.to(call.device, call.dtype(value.dtype)).expand(ints(shape))


@operator("Range", since=11)
def _range(
    start: Tensor, limit: Tensor, delta: Tensor, *, stash_type: int = 1, call: Call
) -> Tensor:
    first, last, step = (value.reshape(()).item() for value in (start, limit, delta))
    count = max(0, math.ceil((last - first) / step))
    if not start.is_floating_point():
        steps = torch.arange(count, device=start.device)
        return (first + steps * step).to(start.dtype)
    half = start.dtype in (torch.float16, torch.bfloat16)
    held = call.dtype(stash_type) if half else start.dtype
    index = torch.arange(count, device=start.device).to(held)
    return (start.to(held) + index * delta.to(held)).to(start.dtype)


@operator("EyeLike", since=9)
def _eye_like(x: Tensor, *, dtype: int | None = None, k: int = 0, call: Call) -> Tensor:
    held = x.dtype if dtype is None else call.dtype(dtype)
    return torch.ones(x.shape, dtype=held, device=x.device).triu(k).tril(k)


def _generator(seed: float | None, device: torch.device) -> torch.Generator | None:
    """The generator of torch, unless the graph fixes a seed."""
    if seed is None:
        return None
    return torch.Generator(device).manual_seed(int.from_bytes(str(seed).encode()[:6], "big"))


@operator("RandomNormal")
def _random_normal(
    *,
    shape: Sequence[int],
    dtype: int = 1,
    mean: float = 0.0,
    scale: float = 1.0,
    seed: float | None = None,
    call: Call,
) -> Tensor:
    made = torch.randn(list(shape), generator=_generator(seed, call.device), device=call.device)
    return (made * scale + mean).to(call.dtype(dtype))


@operator("RandomNormalLike")
def _random_normal_like(
    x: Tensor,
    *,
    dtype: int | None = None,
    mean: float = 0.0,
    scale: float = 1.0,
    seed: float | None = None,
    call: Call,
) -> Tensor:
    made = torch.randn(x.shape, generator=_generator(seed, x.device), device=x.device)
    return (made * scale + mean).to(x.dtype if dtype is None else call.dtype(dtype))


@operator("RandomUniform")
def _random_uniform(
    *,
    shape: Sequence[int],
    dtype: int = 1,
    low: float = 0.0,
    high: float = 1.0,
    seed: float | None = None,
    call: Call,
) -> Tensor:
    made = torch.rand(list(shape), generator=_generator(seed, call.device), device=call.device)
    return (made * (high - low) + low).to(call.dtype(dtype))


@operator("RandomUniformLike")
def _random_uniform_like(
    x: Tensor,
    *,
    dtype: int | None = None,
    low: float = 0.0,
    high: float = 1.0,
    seed: float | None = None,
    call: Call,
) -> Tensor:
    made = torch.rand(x.shape, generator=_generator(seed, x.device), device=x.device)
    return (made * (high - low) + low).to(x.dtype if dtype is None else call.dtype(dtype))


@operator("Bernoulli", since=15)
def _bernoulli(
    x: Tensor, *, dtype: int | None = None, seed: float | None = None, call: Call
) -> Tensor:
    drawn = torch.bernoulli(x, generator=_generator(seed, x.device))
    return drawn.to(x.dtype if dtype is None else call.dtype(dtype))


@operator("Multinomial", since=7)
def _multinomial(
    x: Tensor, *, dtype: int = 6, sample_size: int = 1, seed: float | None = None, call: Call
) -> Tensor:
    """Draws classes from unnormalised log-probabilities."""
    drawn = torch.multinomial(
        torch.softmax(x, -1), sample_size, True, generator=_generator(seed, x.device)
    )
    return drawn.to(call.dtype(dtype))


@operator("Dropout", since=7)
def _dropout_inference(x: Tensor, *, ratio: float = 0.5) -> tuple[Tensor, Tensor]:  # noqa: ARG001 - nothing drops
    return x, torch.ones_like(x, dtype=torch.bool)


@operator("Dropout", since=12, host={1, 2})
def _dropout(
    x: Tensor,
    ratio: Tensor | None = None,
    training: Tensor | None = None,
    *,
    seed: float | None = None,
) -> tuple[Any, ...]:
    share = 0.5 if ratio is None else float(ratio)
    if training is None or not bool(training) or share == 0:
        return x, torch.ones_like(x, dtype=torch.bool)
    made = torch.rand(x.shape, generator=_generator(seed, x.device), device=x.device)
    kept = made >= share
    return torch.where(kept, x / (1 - share), 0).to(x.dtype), kept
