"""The distributions of outputs in torch: the divergence and the drawn loss, with gradients.

What is known of an output is `OutputDistribution`'s; only the arithmetic is done again here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..calibration.positions import leading_mask
from ..outputs import Bernoulli, Categorical, Gaussian, OutputDistribution
from ..outputs.fills import is_fill

__all__ = ["divergence", "drawn_loss", "without_padding"]

Mask = npt.NDArray[np.bool_]

# As small as a probability is taken to be; and as one that is drawn is.
_FLOOR = 1e-12
_TINY = 1e-20


def divergence(
    output: OutputDistribution, dense: npt.NDArray[Any], trained: Tensor, mask: Mask | None = None
) -> Tensor:
    """The divergence of an output on one batch, in nats: see `OutputDistribution.compare`.

    Args:
        output: What it stands for.
        dense: The dense model's value.
        trained: That of the model in training.
        mask: Which positions hold data, shape (batch, length).
    """
    q = trained.float()
    p = torch.from_numpy(dense).to(q)
    if isinstance(output, Gaussian):
        return _gaussian(output, dense, p, q, mask)
    each: Tensor
    if isinstance(output, Categorical):
        axis = output.axis - (p.ndim if output.axis >= 0 else 0)
        p, q = without_padding(p, mask), without_padding(q, mask)
        each = _categorical(output, axis, p, q) if p.numel() else q.flatten()
    else:
        assert isinstance(output, Bernoulli)
        p, q = without_padding(p, mask), without_padding(q, mask)
        each = _event(p, q) + _event(1 - p, 1 - q)
    # Nothing but padding is no loss, where a mean would be none.
    return each.sum() / max(1, each.numel())


def drawn_loss(
    values: Mapping[str, Tensor],
    outputs: Mapping[str, OutputDistribution],
    generator: torch.Generator,
    mask: Mask | None = None,
) -> Tensor:
    """Minus the log-likelihood of labels drawn from the outputs, summed over samples.

    Args:
        values: Output name to value.
        outputs: What each stands for.
        generator: The source of the labels.
        mask: Which positions hold data, shape (batch, length); None if all do.
    """
    total = torch.zeros((), device=generator.device)
    for name, output in outputs.items():
        y = values[name]
        samples = len(y)
        if mask is not None and leading_mask(tuple(y.shape), mask) is not None:
            samples = len(mask)
        if isinstance(output, Gaussian):
            noise = torch.randn(y.shape, generator=generator, device=y.device).to(y.dtype)
            weights = torch.from_numpy(np.sqrt(output.precisions(tuple(y.shape)))).to(y)
            total = total + without_padding(noise * weights * y, mask).sum()
            continue
        # Masking joins leading axes, so the class axis is counted from the end.
        if isinstance(output, Categorical):
            axis = output.axis - (y.ndim if output.axis >= 0 else 0)
            loss, predictions = _drawn_class(output, axis, without_padding(y, mask), generator)
        else:
            y = without_padding(y, mask)
            p = y.clamp(_TINY, 1)
            event = torch.rand(y.shape, generator=generator, device=y.device) < y
            loss = -torch.where(event, p, (1 - y).clamp(min=_TINY)).log().sum()
            predictions = y.numel()
        total = total + loss * (samples / max(1, predictions)) ** 0.5
    return total


def without_padding(value: Tensor, mask: Mask | None) -> Tensor:
    """The positions of a value that hold data, stacked, if its leading axes are the mask's."""
    kept = leading_mask(tuple(value.shape), mask)
    return value if kept is None else value[torch.from_numpy(kept).to(value.device)]


def _gaussian(
    output: Gaussian, dense: npt.NDArray[Any], p: Tensor, q: Tensor, mask: Mask | None
) -> Tensor:
    """The mean over parts of the mean over their elements of half the squared change."""
    length = None if output.axis is None or not dense.ndim else dense.shape[output.axis]
    variances, part_of = output.scales(length)
    valid = torch.from_numpy(~is_fill(dense, output.fills)).to(q.device)
    squares = torch.where(valid, p - q, torch.zeros_like(q)).square()
    squares, counts = without_padding(squares, mask), without_padding(valid, mask)
    if len(variances) == 1:
        return squares.sum() / (2 * variances.item()) / max(1, int(counts.sum()))
    assert output.axis is not None
    over = [axis for axis in range(squares.ndim) if axis != squares.ndim + output.axis]
    # Sums along the axis of the parts; where masking joined it, its place from the end is the same.
    along = squares.sum(over) / torch.from_numpy(2 * variances).to(squares)
    number = counts.sum(over).to(along)
    belongs = torch.from_numpy(np.eye(len(output.parts))[part_of]).to(along)
    totals, seen = along @ belongs, number @ belongs
    means = torch.where(seen > 0, totals / seen.clamp(min=1), torch.zeros_like(totals))
    return means.sum() / max(1, int((seen > 0).sum()))


def _categorical(output: Categorical, axis: int, p: Tensor, q: Tensor) -> Tensor:
    log_p, log_q = (_log_probabilities(x, output, axis) for x in (p, q))
    # A class that the dense model rules out adds nothing.
    possible = torch.isfinite(log_p)
    gap = torch.where(possible, log_p - log_q, torch.zeros_like(log_p))
    found = (log_p.exp() * gap).sum(axis)
    if output.shift is not None:
        change = torch.where(possible, p - q, torch.zeros_like(p))
        mean = change.sum(axis) / (change != 0).sum(axis).clamp(min=1)
        found = found + mean.square() / (2 * output.shift * p.shape[axis])
    return found


def _event(p: Tensor, q: Tensor) -> Tensor:
    """The divergence of one of two events; each is floored, as 1 - 1e-12 is 1 in float32."""
    p, q = p.clamp(min=_FLOOR), q.clamp(min=_FLOOR)
    return p * (p.log() - q.log())


def _log_probabilities(x: Tensor, output: Categorical, axis: int) -> Tensor:
    if output.kind.scale == "logit":
        return x.log_softmax(axis)
    return x if output.kind.scale == "log-probability" else x.clamp(min=_FLOOR).log()


def _drawn_class(
    output: Categorical, axis: int, y: Tensor, generator: torch.Generator
) -> tuple[Tensor, int]:
    """The loss of drawn classes, and their number."""
    y = y.movedim(axis, -1).reshape(-1, y.shape[axis])
    logs = _log_probabilities(
        y.clamp(min=_TINY) if output.kind.scale == "probability" else y, output, -1
    )
    drawn = torch.multinomial(logs.detach().exp(), 1, generator=generator)
    loss = -logs.gather(-1, drawn).sum()
    if output.shift is not None:
        noise = torch.randn(len(y), generator=generator, device=y.device).to(y.dtype)
        loss = loss + (noise * y.mean(-1)).sum() / (output.shift * y.shape[-1]) ** 0.5
    return loss, len(y)
