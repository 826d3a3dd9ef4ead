"""Models timed side by side: in turns, so that what else the machine does falls on all alike."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from .session import Session

__all__ = ["NOISY", "ROUNDS", "SLOWER", "Ratio", "State", "Timing", "latencies"]

# A model is slower if it takes more than this share of another's time.
SLOWER = 1.02

# Where the middle half of the ratios is wider than this share of the median, nothing is said.
_WIDE = 0.2

# Rounds in which models are timed, at least and at most.
ROUNDS = 5, 100

NOISY: Literal["too noisy to say"] = "too noisy to say"

State = Literal["faster", "alike", "slower", "too noisy to say"]


@dataclasses.dataclass(frozen=True)
class Ratio:
    """The latency of one model as a share of another's, round by round: both ran in each.

    Attributes:
        median: The median.
        quartiles: Between these was the middle half.
        rounds: How many rounds there were.
    """

    median: float
    quartiles: tuple[float, float]
    rounds: int

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Ratio:
        """Reads what `as_dict` gave."""
        low, high = found["quartiles"]
        return cls(found["ratio"], (low, high), found["rounds"])

    @property
    def state(self) -> State:
        """The verdict."""
        low, high = self.quartiles
        if low >= 1 / SLOWER and high <= SLOWER:
            return "alike"
        if low <= 1 <= high or high - low > _WIDE * self.median:
            return NOISY
        if self.median > SLOWER:
            return "slower"
        return "faster" if self.median < 1 / SLOWER else "alike"

    @property
    def slower(self) -> bool:
        """Tells whether the model is slower for certain."""
        return self.state == "slower"

    def sentence(self) -> str:
        """A sentence on what was found."""
        low, high = self.quartiles
        said = f"{self.median:.3f} of the dense model's, quartiles {low:.3f} to {high:.3f} of "
        said += f"{self.rounds} rounds"
        return f"{NOISY}: {said}" if self.state == NOISY else said

    def as_dict(self) -> dict[str, Any]:
        """The figures as plain data."""
        return {
            "ratio": self.median,
            "quartiles": list(self.quartiles),
            "rounds": self.rounds,
            "state": self.state,
        }


@dataclasses.dataclass(frozen=True)
class Timing:
    """Times of models that took turns.

    Attributes:
        times: Milliseconds of one sample, shape (rounds, models).
    """

    times: npt.NDArray[np.float64]

    @property
    def medians(self) -> list[float]:
        """The median of each model."""
        return [float(value) for value in np.median(self.times, axis=0)]

    @property
    def least(self) -> list[float]:
        """The least of each model.

        What other work on the machine adds falls on long runs more than on short ones, and so
        spoils sums of parts.
        """
        return [float(value) for value in self.times.min(axis=0)]

    def ratio(self, model: int = 1, to: int = 0) -> Ratio:
        """The latency of a model as a share of another's."""
        ratios = self.times[:, model] / self.times[:, to]
        low, median, high = (float(value) for value in np.percentile(ratios, (25, 50, 75)))
        return Ratio(median, (low, high), len(ratios))


def latencies(
    sessions: Sequence[Session],
    feeds: Mapping[str, npt.NDArray[Any]],
    seconds: float = 2.0,
    between: Callable[[], object] = lambda: None,
    *,
    samples: int = 1,
    rounds: tuple[int, int] = ROUNDS,
) -> Timing:
    """Times models on one feed, in a new order each round.

    Args:
        sessions: What to time.
        feeds: One feed for all.
        seconds: When to stop.
        between: Called before each run, and not timed.
        samples: Samples of the feed; times are divided by it.
        rounds: How many rounds are timed, at least and at most.
    """
    sessions = [session.as_written for session in sessions]
    for session in sessions:
        session.run(feeds)
    rng = np.random.default_rng(0)
    least, most = rounds
    times: list[npt.NDArray[np.float64]] = []
    start = time.perf_counter()
    while len(times) < least or (time.perf_counter() - start < seconds and len(times) < most):
        taken = np.zeros(len(sessions))
        for index in rng.permutation(len(sessions)):
            between()
            session = sessions[index]
            before = session.clock()
            session.run(feeds)
            taken[index] = session.clock() - before
        times.append(1e3 * taken / max(1, samples))
    return Timing(np.array(times))
