"""The metric of each target, measured in torch: A and G in full, on both sides.

The moments that calibration takes on the narrow side hold for the weights that it saw. A metric for
weights that move needs the wide side too (see `whitening`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - what everybody calls it

from ..outputs import OutputDistribution
from ..passes import Target
from ..torch.module import GraphModule
from .distributions import drawn_loss

__all__ = ["measure_metric", "rows_of"]


def measure_metric(
    module: GraphModule,
    targets: Sequence[Target],
    outputs: Mapping[str, OutputDistribution],
    batches: Iterable[Mapping[str, Tensor]],
    *,
    rows: int = 4096,
    damping: float = 1e-2,
    seed: int = 0,
) -> dict[str, tuple[Tensor, Tensor]]:
    """Measures A = E[x xᵀ] and G = E[Σ g gᵀ] for every target.

    Args:
        module: The model; its Parameters are not changed.
        targets: Targets of its graph.
        outputs: What each output stands for; labels are drawn from it, so that G is of the true
            Fisher information.
        batches: Feeds.
        rows: Rows of x that are taken from each batch, at random places.
        damping: Share of its mean diagonal that is added to each matrix.
        seed: Of labels and places.

    Returns:
        Name to A, shape (groups, K, K), and G, shape (groups, N, N), in float64.
    """
    generator = torch.Generator(module.device).manual_seed(seed)
    ends = [(target.x.name or "", target.node.outputs[0].name or "") for target in targets]
    sums: dict[str, list[Tensor]] = {}
    count = 0
    for feeds in batches:
        run = module.run(feeds, capture={name for pair in ends for name in pair})
        loss = drawn_loss(run.outputs, outputs, generator)
        at = [run.captured[name] for _, name in ends]
        gradients = torch.autograd.grad(loss, at, allow_unused=True)
        count += 1
        for target, (name, _), y, g in zip(targets, ends, at, gradients, strict=True):
            x = rows_of(target, run.captured[name].detach(), rows, generator).double()
            back = _outputs_of(target, torch.zeros_like(y) if g is None else g).double()
            new = [x.mT @ x / x.shape[1], back.mT @ back / len(y)]
            old = sums.setdefault(target.name, [torch.zeros_like(each) for each in new])
            sums[target.name] = [a + b for a, b in zip(old, new, strict=True)]
    damped = {
        name: tuple(_damped(total / max(count, 1), damping) for total in pair)
        for name, pair in sums.items()
    }
    return {name: (pair[0], pair[1]) for name, pair in damped.items()}


def rows_of(target: Target, x: Tensor, limit: int, generator: torch.Generator) -> Tensor:
    """Rows that a target's weight multiplies, at most `limit` of them: (groups, rows, K)."""
    convolution = target.convolution
    if convolution is None:
        x = x.mT if target.transposed_input else x
        flat = x.reshape(-1, x.shape[-1])
        return flat[_places(len(flat), limit, generator)][None]
    rank = len(convolution.kernel)
    pads = convolution.padding(tuple(x.shape[2:]))
    order = [pads[i + side * rank] for i in reversed(range(rank)) for side in (0, 1)]
    windows = F.pad(x, order)
    for i in range(rank):
        span = (convolution.kernel[i] - 1) * convolution.dilations[i] + 1
        windows = windows.unfold(i + 2, span, convolution.strides[i])
        windows = windows[..., :: convolution.dilations[i]]
    # (batch, channels, places..., kernel...): choose places first, that no im2col is ever made.
    spatial = windows.shape[2 : 2 + rank]
    places = _places(len(x) * spatial.numel(), limit, generator)
    index = torch.unravel_index(places, (len(x), *spatial))
    chosen = windows.movedim(1, -1)[index]  # (rows, kernel..., channels)
    stacked = chosen.movedim(-1, 1).reshape(len(places), target.groups, target.rows)
    return stacked.transpose(0, 1)


def _outputs_of(target: Target, y: Tensor) -> Tensor:
    """What a target gives, or gradients there, as rows: (groups, rows, N)."""
    if target.convolution is None:
        return y.reshape(1, -1, y.shape[-1])
    grouped = y.reshape(len(y), target.groups, target.columns, -1)
    return grouped.permute(1, 0, 3, 2).reshape(target.groups, -1, target.columns)


def _places(count: int, limit: int, generator: torch.Generator) -> Tensor:
    order = torch.randperm(count, generator=generator, device=generator.device)
    return order[:limit]


def _damped(moment: Tensor, damping: float) -> Tensor:
    """Adds a share of the mean diagonal; nothing observed is the identity."""
    eye = torch.eye(moment.shape[-1], dtype=moment.dtype, device=moment.device)
    mean = moment.diagonal(dim1=-2, dim2=-1).mean(-1)[:, None, None]
    return torch.where(mean > 0, moment + damping * mean * eye, eye)
