"""Distillation: the divergence of a model in training from the dense one, in torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from ..outputs import OutputDistribution
from .distributions import divergence

__all__ = ["Distillation"]


class Distillation:
    """The loss that training brings down: the mean divergence of a prediction, in nats."""

    def __init__(self, outputs: Mapping[str, OutputDistribution]) -> None:
        """Starts.

        Args:
            outputs: What each output stands for.
        """
        self._outputs = outputs

    def __call__(
        self,
        dense: Mapping[str, npt.NDArray[Any]],
        trained: Mapping[str, Tensor],
        mask: npt.NDArray[np.bool_] | None = None,
    ) -> Tensor:
        """The divergence on one batch, summed over outputs.

        Args:
            dense: The dense model's outputs.
            trained: Those of the model in training.
            mask: Which positions hold data, shape (batch, length).
        """
        total: Tensor | None = None
        for name, output in self._outputs.items():
            found = divergence(output, dense[name], trained[name], mask)
            total = found if total is None else total + found
        assert total is not None
        return total
