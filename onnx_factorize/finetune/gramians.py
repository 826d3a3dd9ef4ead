"""The Gramians of bottlenecks, measured in torch with the weights as they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from ..calibration import Batch
from ..outputs import OutputDistribution
from ..torch.module import GraphModule
from .bottleneck import Bottleneck
from .distributions import drawn_loss, without_padding

__all__ = ["Gramians", "measure_gramians"]

# P and Q of a bottleneck, by the name of its value.
Gramians = Mapping[str, tuple[Tensor, Tensor]]


def measure_gramians(
    module: GraphModule,
    bottlenecks: Sequence[Bottleneck],
    outputs: Mapping[str, OutputDistribution],
    batches: Iterable[Batch],
    *,
    seed: int = 0,
) -> Gramians:
    """Measures P = E[zᵀ z] and Q = E[Σ gᵀ g] for each bottleneck; see `balanced_truncation`.

    Args:
        module: The model; its Parameters are not changed.
        bottlenecks: Values of its graph.
        outputs: What each output stands for; labels are drawn from it, so that Q is of the true
            Fisher information.
        batches: Samples; of padding nothing is counted.
        seed: Of the labels.

    Returns:
        Name of a value to P and Q, each of shape (groups, width, width), in float64.
    """
    generator = torch.Generator(module.device).manual_seed(seed)
    names = [each.value for each in bottlenecks]
    sums: dict[str, list[Tensor]] = {}
    count = 0
    for batch in batches:
        with torch.enable_grad():
            run = module.run(batch.feeds, capture=names)
            loss = drawn_loss(run.outputs, outputs, generator, batch.mask)
            values = [run.captured[name] for name in names]
            gradients = torch.autograd.grad(loss, values, allow_unused=True)
        count += 1
        for each, z, g in zip(bottlenecks, values, gradients, strict=True):
            zero = torch.zeros_like(z)
            rows, back = (
                each.rows(without_padding(value, batch.mask)).double()
                for value in (z.detach(), zero if g is None else g)
            )
            new = [rows.mT @ rows / max(1, rows.shape[1]), back.mT @ back / len(z)]
            old = sums.setdefault(each.value, [torch.zeros_like(moment) for moment in new])
            sums[each.value] = [a + b for a, b in zip(old, new, strict=True)]
    means = {name: [total / max(count, 1) for total in pair] for name, pair in sums.items()}
    return {name: (pair[0], pair[1]) for name, pair in means.items()}
