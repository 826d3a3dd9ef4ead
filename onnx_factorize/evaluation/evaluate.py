"""The loop in which two models run over batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from ..arrays import NamedArrays
from ..calibration import Batch

__all__ = ["Metric", "NamedArrays", "evaluate"]

# Output name to value.


class Metric(Protocol):
    """Reduces the answers of two models."""

    def add(self, batch: Batch, dense: NamedArrays, compressed: NamedArrays) -> None:
        """Adds the answers to one batch."""


def evaluate(
    batches: Iterable[Batch],
    dense: Callable[[Batch], NamedArrays],
    compressed: Callable[[Batch], NamedArrays] | None,
    *metrics: Metric,
    limit: int | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> int:
    """Asks two models for their answers, batch by batch, and adds them to some metrics.

    Args:
        batches: The batches.
        dense: What gives the dense model's answers.
        compressed: What gives the other's; None for the dense one beside itself.
        *metrics: What reduces them.
        limit: Stop after so many samples.
        advance: Called after each batch with its number of samples.

    Returns:
        The number of samples.
    """
    samples = 0
    for batch in batches:
        p = dense(batch)
        q = p if compressed is None else compressed(batch)
        for metric in metrics:
            metric.add(batch, p, q)
        del p, q  # before the next batch runs
        samples += batch.samples
        advance(batch.samples)
        if limit is not None and samples >= limit:
            break
    return samples
