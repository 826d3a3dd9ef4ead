"""Fine-tuning: what became of it."""

from __future__ import annotations

import dataclasses

__all__ = ["Epoch", "Recovery", "Thresholds"]


@dataclasses.dataclass(frozen=True)
class Epoch:
    """One pass through the samples.

    Attributes:
        loss: Mean divergence of the batches while they were trained on, in nats.
        validation: Divergence of the samples that were not trained on, after the epoch.
        learning_rate: At the end.
    """

    loss: float
    validation: float
    learning_rate: float


@dataclasses.dataclass(frozen=True)
class Thresholds:
    """One pass through the samples under singular value thresholding.

    Attributes:
        loss: Mean divergence of the batches while they were trained on, in nats.
        validation: Divergence of the samples that were not trained on, after the epoch.
        cost: What is thresholded costs after the last proximal step, as a share of what it costs
            dense; None before the first.
        ranks: Unfolding name to rank.
        dropped: Share of the whitened energy that went in the last proximal step, from 0 to 1.
    """

    loss: float
    validation: float
    cost: float | None
    ranks: dict[str, int]
    dropped: float


@dataclasses.dataclass
class Recovery:
    """The outcome of training.

    Attributes:
        before: Divergence of the validation samples before training.
        after: The same of the state that was kept.
        best: The epoch whose state was kept; 0 for the start.
        epochs: What each epoch gave.
        svt: What each epoch of singular value thresholding gave, before these.
        ranks_from: Whose ranks were kept: `plan`, or `svt` if those that it found were better.
        untrained: Divergence of the held-out samples before training, which had no say in it.
    """

    before: float
    after: float = float("nan")
    best: int = 0
    epochs: list[Epoch] = dataclasses.field(default_factory=list)
    svt: list[Thresholds] = dataclasses.field(default_factory=list)
    ranks_from: str = "plan"
    untrained: float | None = None
