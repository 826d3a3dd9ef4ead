"""Answers of the dense model that are kept: others are compared with them again and again."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable

from ..arrays import NamedArrays
from ..calibration import Batch
from ..runtime.paging import owned
from ..runtime.session import Session
from .evaluate import Metric, evaluate

__all__ = ["Recorded"]


@dataclasses.dataclass(frozen=True)
class Recorded:
    """Batches, and the answers of one model to each."""

    batches: list[Batch]
    answers: list[NamedArrays]

    @classmethod
    def of(cls, dense: Session, batches: Iterable[Batch], most: float = math.inf) -> Recorded:
        """Runs a model.

        Args:
            dense: The model.
            batches: The batches.
            most: Bytes of answers after which no more batches are taken.
        """
        taken: list[Batch] = []
        answers: list[NamedArrays] = []
        size = 0
        for batch in batches:
            taken.append(batch)
            found = dense.run(batch.feeds, batch.origin)
            answers.append({name: owned(value) for name, value in found.items()})
            size += sum(value.nbytes for value in answers[-1].values())
            if size > most:
                break
        return cls(taken, answers)

    def compare(self, other: Session, *metrics: Metric) -> None:
        """Adds the answers of another model beside those that are kept to some metrics."""
        kept = iter(self.answers)
        evaluate(
            self.batches,
            lambda _: next(kept),
            lambda batch: other.run(batch.feeds, batch.origin),
            *metrics,
        )
