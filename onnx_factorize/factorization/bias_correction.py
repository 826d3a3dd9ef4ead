"""The correction of biases, which absorbs the mean of the error: only the rest is at stake."""

from __future__ import annotations

import numpy as np

from ..arrays import Array
from ..passes import Factors, Target
from ..statistics.model_statistics import TargetStatistics
from .spectrum import Spectrum

__all__ = ["absorbed_mean", "centred_signal", "factors_of"]


def absorbed_mean(target: Target, statistics: TargetStatistics) -> Array:
    """The part of the signal that a bias absorbs, in observed rows: shape (groups, 1, width)."""
    if target.centred:
        return statistics.signal.mean[:, None, :]
    # Without a bias to correct nothing is absorbed, but what the node adds is not part of x W.
    if target.side == "output" and not target.tied:
        return _bias_rows(target)
    return np.zeros((target.groups, 1, target.width))


def factors_of(
    target: Target, spectrum: Spectrum, statistics: TargetStatistics | None, rank: int
) -> Factors:
    """The factors of one rank, with the bias correction that keeps the output's mean."""
    down, up = spectrum.truncated(rank)
    shift = None
    if statistics is not None and statistics.signal.count and target.centred:
        mean = statistics.signal.mean[:, None, :]
        if target.side == "input":
            error = mean @ spectrum.weight - mean @ down @ up
        else:
            mean = mean - _bias_rows(target)
            error = mean - mean @ spectrum.basis[:, :, :rank] @ spectrum.dual[:, :rank]
        shift = error.reshape(-1)
    return Factors(down, up, shift)


def centred_signal(target: Target, statistics: TargetStatistics) -> Array:
    """The signal's second moment about what a bias absorbs, shape (groups, width, width)."""
    rest = statistics.signal.mean[:, None, :] - absorbed_mean(target, statistics)
    moment: Array = statistics.signal.covariance + rest.transpose(0, 2, 1) @ rest
    return moment


def _bias_rows(target: Target) -> Array:
    """The vector that the target adds to x W, shape (groups, 1, N)."""
    assert target.bias is not None
    return target.bias.reshape(target.groups, 1, target.columns)
