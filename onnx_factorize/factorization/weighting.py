"""Weightings: which metric decides how much a change of a weight matters."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from ..passes import Factors, Target
from ..statistics.model_statistics import TargetStatistics
from .kronecker_factors import Observed, Prior
from .spectrum import Spectrum, decompose
from .tied_weights import shared_observed

__all__ = [
    "METRICS",
    "WEIGHTINGS",
    "Metric",
    "Weighting",
    "absorbed_mean",
    "decomposed",
    "factors_of",
    "get_weighting",
    "metrics_for",
    "observed",
]

Array = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Metric:
    """How far the two moments of a target are shrunk towards what is known without data.

    Attributes:
        signal: Share of the mean energy of a direction that is added to A.
        gradient: Likewise to G, where all directions count alike; None for no G at all.
        prior: What is added to A: all directions alike, or those that the weight itself reads.
    """

    signal: float = 0.0
    gradient: float | None = 0.0
    prior: Prior = "identity"


# The moments of a few samples overfit, and how much differs from target to target: each takes the
# metric whose directions do best on data that did not make them (see `losses`).
METRICS = (
    Metric(0.0, 0.0),
    Metric(0.03, 0.1),
    Metric(0.03, None),
    Metric(0.4, 1.0),
    Metric(0.4, 1.0, "weight"),
    # From here on for few samples only: see `metrics_for`.
    Metric(0.03, 1.0),
    Metric(0.4, 0.1),
    Metric(0.4, None),
    Metric(4.0, 1.0),
    Metric(4.0, None),
    Metric(0.1, 0.1, "weight"),
    Metric(0.4, None, "weight"),
    Metric(2.0, 1.0, "weight"),
    Metric(2.0, None, "weight"),
)
_FOR_MANY_SAMPLES = 5
_MANY_SAMPLES = 768


def metrics_for(samples: int) -> range:
    """The indices of the metrics that are worth trying with so many samples."""
    return range(_FOR_MANY_SAMPLES if samples >= _MANY_SAMPLES else len(METRICS))


@dataclasses.dataclass(frozen=True)
class Weighting:
    """One way to weigh the directions of a weight.

    Attributes:
        name: As `--weighting` names it.
        signal: Whether it needs the moments of what targets compute.
        gradient: Whether it needs those of gradients. Then losses are in nats and add up over
            targets; otherwise a loss is the share of a target's own energy.
        literature: What it is known as.
        rows: Whether it needs to know how much each row of a weight matters.
    """

    name: str
    signal: bool
    gradient: bool
    literature: str
    rows: bool = False

    def spectrum(
        self, target: Target, statistics: TargetStatistics | None, metric: Metric | None = None
    ) -> Spectrum:
        """Decomposes a target's weight in this weighting's metric.

        Args:
            target: The target.
            statistics: What calibration found, if `signal` or `rows`.
            metric: How to shrink the moments; by default as little as their noise demands.
        """
        if self.rows:
            rows = None if statistics is None else statistics.rows
            return decompose(target.matrices(), None if rows is None else rows.mean)
        if not self.signal:
            return decompose(target.matrices())
        assert statistics is not None
        seen = observed(target, statistics, gradient=self.gradient)
        return decomposed(seen, statistics.signal.count, metric or METRICS[0])


def observed(target: Target, statistics: TargetStatistics, *, gradient: bool = True) -> Observed:
    """A target's weight with its moments, about what a bias absorbs."""
    if target.siblings:
        return shared_observed(target, statistics, gradient=gradient)
    found = statistics.gradient if gradient else None
    return Observed(
        target.matrices(),
        target.side,
        centred_signal(target, statistics),
        None if found is None else found.mean,
    )


def decomposed(seen: Observed, rows: int, metric: Metric) -> Spectrum:
    """The spectrum in a metric, shrunk at least as far as moments of so many rows demand."""
    least = _damping(seen.signal.shape[-1], rows)
    return seen.decompose(
        max(least, metric.signal),
        None if metric.gradient is None else max(least, metric.gradient),
        metric.prior,
    )


def absorbed_mean(target: Target, statistics: TargetStatistics) -> Array:
    """What a bias absorbs of the signal, as the observed rows have it: shape (groups, 1, width)."""
    if target.centred:
        return statistics.signal.mean[:, None, :]
    # Without a bias to correct nothing is absorbed, but what the node adds is not part of x W.
    if target.side == "output" and not target.siblings:
        return _bias_rows(target)
    return np.zeros((target.groups, 1, target.width))


def factors_of(
    target: Target, spectrum: Spectrum, statistics: TargetStatistics | None, rank: int
) -> Factors:
    """The factors of one rank, with the bias correction that keeps the output's mean."""
    first, second = spectrum.truncated(rank)
    shift = None
    if statistics is not None and statistics.signal.count and target.centred:
        mean = statistics.signal.mean[:, None, :]
        if target.side == "input":
            error = mean @ spectrum.weight - mean @ first @ second
        else:
            mean = mean - _bias_rows(target)
            error = mean - mean @ spectrum.lift[:, :, :rank] @ spectrum.drop[:, :rank]
        shift = error.reshape(-1)
    return Factors(first, second, shift)


def centred_signal(target: Target, statistics: TargetStatistics) -> Array:
    """The signal's second moment about what a bias absorbs, shape (groups, width, width)."""
    rest = statistics.signal.mean[:, None, :] - absorbed_mean(target, statistics)
    moment: Array = statistics.signal.covariance + rest.transpose(0, 2, 1) @ rest
    return moment


def _bias_rows(target: Target) -> Array:
    """What the target adds to x W, shape (groups, 1, N)."""
    assert target.bias is not None
    return target.bias.reshape(target.groups, 1, target.columns)


WEIGHTINGS = {
    weighting.name: weighting
    for weighting in (
        Weighting("fisher", True, True, "K-FAC SVD, OBD-LLM, GFWSVD"),
        Weighting("activation", True, False, "SVD-LLM, DRONE, ASVD with full whitening"),
        Weighting("diagonal", False, False, "FWSVD", rows=True),
        Weighting("none", False, False, "truncated SVD"),
    )
}


def get_weighting(name: str) -> Weighting:
    """The weighting of a name.

    Raises:
        InputError: There is none.
    """
    if name not in WEIGHTINGS:
        raise InputError(f"There is no weighting '{name}'; use one of {', '.join(WEIGHTINGS)}.")
    return WEIGHTINGS[name]


def _damping(width: int, count: int) -> float:
    """Share of the mean energy to add to moments of `width` x `width` made of `count` rows.

    With ten rows a dimension the moment is good and damping only guards the numerics; with fewer,
    directions that were not seen must not count as free.
    """
    return float(np.clip(0.03 * width / max(count, 1), 1e-4, 0.03))
