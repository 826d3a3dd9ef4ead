"""What a cross-validation of losses found, which later runs from the same statistics can take.

The losses of one target do not depend on which others are judged beside it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping

from ..arrays import Array

__all__ = ["CrossValidated"]


@dataclasses.dataclass(frozen=True)
class CrossValidated:
    """Losses that were cross-validated.

    Attributes:
        metrics: The shrunk moments that were tried.
        folds: The folds that judged.
        targets: Names of the targets that were looked at.
        shrinkages: Of those that have losses, the number of the shrinkage that loses least.
        losses: Of the same the loss at every rank, shape (full rank + 1,).
        channels: Of channels the number of samples that judged, and their sums, shape (width + 1,).
        lost: Names of targets whose gradients turned out to be of no use.
        unreachable: Target name to the reason why it has none.
        not_finite: Target name to where its signal is not finite.
    """

    metrics: int
    folds: int
    targets: Collection[str]
    shrinkages: Mapping[str, int]
    losses: Mapping[str, Array]
    channels: Mapping[str, tuple[int, Array]] = dataclasses.field(default_factory=dict)
    lost: Collection[str] = ()
    unreachable: Mapping[str, str] = dataclasses.field(default_factory=dict)
    not_finite: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def serves(
        self, metrics: int, folds: int, targets: Collection[str], channels: Collection[str]
    ) -> bool:
        """Tells whether it holds what a run would find."""
        return (
            (self.metrics, self.folds) == (metrics, folds)
            and set(targets) <= set(self.targets)
            and set(channels) <= set(self.channels)
        )
