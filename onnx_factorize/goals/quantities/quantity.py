"""The quantity of a guarantee: a figure of held-out samples, with its samples' shares.

A quantity is fed the outputs of the dense and of the compressed model batch by batch. Where an
output has no row for each sample (a state, a scalar), a batch counts as one sample.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from ...arrays import NamedArrays
from ...calibration import Batch
from ...errors import InputError
from ...outputs import OutputDistribution
from .confidence import Estimate, lower_bound, ratio

__all__ = ["Outputs", "Quantity", "of_counts", "pieces"]

Outputs = Mapping[str, OutputDistribution]


class Quantity(abc.ABC):
    """A figure that can be guaranteed: a share of the dense model's unless a subclass says else.

    Attributes:
        name: What it is called in `--keep NAME=SHARE`, and in reports.
        share: Whether it is a share, of which more is better, and which `--keep` takes.
        nothing: The figure of a model whose outputs are not finite.
    """

    name: ClassVar[str]
    share: ClassVar[bool] = True
    nothing: ClassVar[float] = 0.0

    @classmethod
    def takes(cls, metric: str) -> bool:
        """Tells whether a metric, as it was asked for, is this one."""
        return metric == cls.name

    @classmethod
    def of(cls, metric: str, outputs: Outputs) -> Quantity:  # noqa: ARG003
        """The quantity of a metric, without samples so far.

        Args:
            metric: The metric as it was asked for.
            outputs: What each output stands for.

        Raises:
            InputError: The outputs have no such figure.
        """
        return cls(outputs)

    @abc.abstractmethod
    def __init__(self, outputs: Outputs) -> None:
        """Starts with no samples."""

    @abc.abstractmethod
    def add(self, batch: Batch, dense: NamedArrays, compressed: NamedArrays) -> None:
        """Adds the outputs of one batch."""

    @abc.abstractmethod
    def estimate(self) -> Estimate:
        """The figure of all that was added."""

    @classmethod
    def bound(cls, estimate: Estimate) -> float:
        """The confidence bound on the side where the guarantee breaks."""
        return lower_bound(estimate.shares)

    @classmethod
    def allowed(cls, asked: float) -> float:
        """The loss that a guarantee allows."""
        return 1 - asked

    @classmethod
    def strain(cls, bound: float, asked: float) -> float:
        """The loss over the loss allowed: the guarantee is kept up to 1."""
        return (1 - bound) / (1 - asked)

    @classmethod
    def title(cls, metric: str) -> str:
        """The name of the figure at the head of a sentence about its bound."""
        return f"{metric}, as a share of the dense model's,"

    @classmethod
    def described(cls, metric: str) -> str:
        """The name of the figure in a sentence."""
        return f"a share of {metric} of"


def pieces(batch: Batch, outputs: NamedArrays) -> list[slice]:
    """The rows of each sample, or all of them where some output has no row for each."""
    if all(o.ndim and o.shape[0] == batch.samples for o in outputs.values()):
        return [slice(row, row + 1) for row in range(batch.samples)]
    return [slice(None)]


def of_counts(shares: list[tuple[float, float]]) -> Estimate:
    """The ratio of two counts, with a sample that is one worse than the worst among the shares."""
    kept, of = np.array(shares, np.float64).T
    most = float(of.max())
    if most == 0:
        raise InputError(
            "The dense model gets no held-out label right, so no share of that can be kept; are "
            "the labels those of its classes?"
        )
    lost = min(most, max(0.0, float((of - kept).max())) + 1)
    return ratio(kept, of, (most - lost, most))
