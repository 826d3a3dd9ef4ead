"""One-sided confidence bounds of a mean, from few and skewed samples."""

from __future__ import annotations

import dataclasses
import math
import statistics

import numpy as np

from ...arrays import Array

__all__ = ["CONFIDENCE", "Estimate", "lower_bound", "ratio", "upper_bound"]


# How sure a guarantee is.
CONFIDENCE = 0.95


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A figure of the held-out samples, with what each of them says of it.

    Attributes:
        value: The figure.
        shares: Shape (samples,); to first order the figure is the mean of as many independent
            draws of these, so that their spread is its uncertainty.
    """

    value: float
    shares: Array

    def __add__(self, other: Estimate) -> Estimate:
        """The sum of two figures of the same samples."""
        return Estimate(self.value + other.value, self.shares + other.shares)


def ratio(numerators: Array, denominators: Array, worst: tuple[float, float] | None) -> Estimate:
    """The ratio of two sums over samples, linearized (the delta method).

    Args:
        numerators: One for each sample, shape (samples,).
        denominators: Likewise.
        worst: A sample that was never seen but might be, and counts in the shares only: where all
            samples agree it is what keeps the bound honest, as the rule of three does (no failure
            in n samples bounds the rate of failures by 3/n, not by 0). None for none.
    """
    value = float(numerators.sum() / denominators.sum())
    if worst is not None:
        numerators = np.append(numerators, worst[0])
        denominators = np.append(denominators, worst[1])
    near = float(numerators.sum() / denominators.sum())
    return Estimate(value, near + (numerators - near * denominators) / denominators.mean())


def upper_bound(samples: Array, confidence: float = CONFIDENCE) -> float:
    """The upper bound of a mean, with the given confidence.

    Student's bound, corrected for skewness to first order: divergences are skewed to the right,
    where the plain bound is too low (Johnson, "Modified t tests and confidence intervals for
    asymmetrical populations", 1978; Hall, "The Bootstrap and Edgeworth Expansion", 1992, 2.6).

    Args:
        samples: Independent draws, shape (n,).
        confidence: The probability with which the bound holds.

    Returns:
        The bound; infinite if there are fewer than two draws, or one is not finite.
    """
    n = len(samples)
    if n < 2 or not np.isfinite(samples).all():
        return math.inf
    mean, deviation = float(samples.mean()), float(samples.std(ddof=1))
    if deviation <= 1e-12 * abs(mean):
        return mean
    z = statistics.NormalDist().inv_cdf(confidence)
    cubes = float((((samples - mean) / deviation) ** 3).sum())
    skewness = cubes * n / ((n - 1) * max(1, n - 2))
    # A tail on the safe side is no reason for a tighter guarantee.
    quantile = _student(z, n - 1) + max(0.0, skewness) * (2 * z**2 + 1) / (6 * math.sqrt(n))
    return mean + quantile * deviation / math.sqrt(n)


def lower_bound(samples: Array, confidence: float = CONFIDENCE) -> float:
    """The lower bound of a mean, with the given confidence; see `upper_bound`."""
    return -upper_bound(-samples, confidence)


def _student(z: float, freedom: int) -> float:
    """The quantile of Student's distribution that belongs to a normal one.

    Abramowitz and Stegun, 26.7.5; within 1 % from four degrees of freedom on at 95 %.
    """
    series = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + math.fsum(term / float(freedom) ** power for power, term in enumerate(series, 1))
