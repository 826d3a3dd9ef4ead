"""Training in several processes that `torchrun` started: each takes its share of every batch.

Weights stay equal to the bit, because gradients are summed over processes before each step. What
decides where training goes (validated divergences) is measured by the first and told to the others.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, distributed

from .. import processes
from ..calibration import Batch, CalibrationData

__all__ = ["ProcessGroup"]


class ProcessGroup:
    """This process among those that train together; a single one needs nobody.

    Attributes:
        count: How many there are.
        rank: The number of this one, from 0.
    """

    def __init__(self) -> None:
        """Joins the others, if there are any."""
        self.count, self.rank = processes.count(), processes.rank()
        if self.count > 1 and not distributed.is_initialized():
            distributed.init_process_group("gloo")

    def share(self, data: CalibrationData, batch: Batch) -> tuple[Batch | None, float]:
        """The part of a batch that this process takes, and its weight.

        A batch that the model takes only whole is taken whole by all.
        """
        if self.count == 1:
            return batch, 1.0
        parts = list(data.parts(batch, -(-batch.samples // self.count)))
        if len(parts) == 1 and parts[0] is batch:
            return batch, 1 / self.count
        if self.rank >= len(parts):
            return None, 0.0
        own = parts[self.rank]
        return own, own.samples / batch.samples

    def sum(self, value: float) -> float:
        """The sum of what all processes have."""
        if self.count == 1:
            return value
        total = torch.tensor(value, dtype=torch.float64)
        distributed.all_reduce(total)
        return float(total)

    def sum_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Puts the sum of all processes' gradients in place of each; of none, zero."""
        if self.count == 1:
            return
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            own = parameter.grad.cpu()
            distributed.all_reduce(own)
            parameter.grad.copy_(own)

    def of_first(self, value: float) -> float:
        """The value that the first process has."""
        if self.count == 1:
            return value
        told = torch.tensor(value, dtype=torch.float64)
        distributed.broadcast(told, 0)
        return float(told)

    @torch.no_grad()
    def equalize(self, tensors: Iterable[Tensor]) -> None:
        """Takes the first process's weights."""
        if self.count == 1:
            return
        for tensor in tensors:
            told = tensor.detach().cpu().clone()
            distributed.broadcast(told, 0)
            tensor.copy_(told)
