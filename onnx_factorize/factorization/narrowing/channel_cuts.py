"""From moments to the channels that stay, and to readers that make up for those that go.

A reader's weight becomes S U: S selects the rows of the channels that stay, and U is the weight of
those rows plus what they say of the others, by linear regression. So narrowing is one more pair of
factors, measured and fitted as others are; only when it is written does S go into the graph, by
taking the channels out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

import numpy as np

from ...arrays import Array
from ...passes import Factors, Target
from ...passes.narrowing import WithoutChannels
from ...passes.narrowing.group import Indices
from ...statistics.channel_moments import InputMoments, merged_moments
from ...statistics.model_statistics import Statistics, TargetStatistics
from .elimination import Elimination, Reading, eliminate
from .narrowing import Narrowing
from .nested_regression import NestedRegression

__all__ = ["ChannelCuts", "CutsApart"]

# Share of its own energy that is added to that of each row: what is regressed on few samples says
# less of others than it seems to.
_ON_SIGNAL = 0.02

# Share of the mean energy of a direction that is added to the moment of gradients.
_ON_GRADIENT = 0.1

# What a row has of the mean energy of all, at least.
_LEAST = 1e-6


_Part = TypeVar("_Part")


@dataclasses.dataclass(frozen=True)
class _Fit:
    """A reader of some channels, its weights on the most important rows, and how many stay."""

    target: Target
    regression: NestedRegression
    count: int


class ChannelCuts:
    """The channels that stay at each width, by some statistics; each group is eliminated once."""

    def __init__(self, statistics: Mapping[str, TargetStatistics], moments: InputMoments) -> None:
        """Begins with none.

        Args:
            statistics: Target name to what calibration found, with gradients of the readers.
            moments: Reader to the moments of its input.
        """
        self._statistics, self._moments = statistics, dict(moments)
        self._means: dict[str, Array] = {}
        self._known: dict[str, Elimination] = {}
        self._fitted: dict[tuple[str, str], NestedRegression] = {}

    def elimination(self, narrowing: Narrowing) -> Elimination:
        """The order in which channels go, and what it loses under the Kronecker approximation."""
        if narrowing.name not in self._known:
            energies = [self._energy(target) for target in narrowing.readers]
            layers = list(zip(narrowing.readers, narrowing.group.readers, energies, strict=True))
            readings = [
                Reading(energy, self._weighed(target), reader.rows)
                for target, reader, energy in layers
            ]
            found = eliminate(readings, narrowing.width)
            for target, reader, energy in layers:
                own = reader.rows[found.order].reshape(-1)
                rows = np.concatenate([np.setdiff1d(np.arange(target.rows), own), own])
                fitted = NestedRegression.of(rows, energy, _weight(target))
                self._fitted[narrowing.name, target.name] = fitted
            self._known[narrowing.name] = found
        return self._known[narrowing.name]

    def factors(self, widths: Mapping[Narrowing, int]) -> dict[str, Factors]:
        """The factors of all readers of some channels, by name.

        Args:
            widths: The channels that are narrowed, each with its width.
        """
        fits: dict[str, list[_Fit]] = {}
        for narrowing, width in widths.items():
            for fit in self._fits(narrowing, width):
                fits.setdefault(fit.target.name, []).append(fit)
        found = {}
        for name, (fit, *others) in fits.items():
            rows, up = self._on_all(fit, others) if others else fit.regression.on(fit.count)
            found[name] = self._selected(fit.target, rows, up)
        return found

    def changes(self, narrowing: Narrowing, width: int) -> dict[str, Array]:
        """What the weights of the readers change by at one width, by name, (K, N) each."""
        return {
            fit.target.name: fit.regression.change(fit.count)
            for fit in self._fits(narrowing, width)
        }

    def mean(self, target: Target) -> Array:
        """What a bias absorbs of a reader's input, shape (K,)."""
        if target.name not in self._means:
            self._means[target.name] = self._moments[target.name].mean[0]
        mean = self._means[target.name]
        return mean if target.centred else np.zeros_like(mean)

    def _fits(self, narrowing: Narrowing, width: int) -> Iterator[_Fit]:
        self.elimination(narrowing)
        for target, reader in zip(narrowing.readers, narrowing.group.readers, strict=True):
            gone = (narrowing.width - width) * reader.rows.shape[1]
            regression = self._fitted[narrowing.name, target.name]
            yield _Fit(target, regression, target.rows - gone)

    def _on_all(self, first: _Fit, others: Sequence[_Fit]) -> tuple[Indices, Array]:
        """The rows that are left where several groups are narrowed, and the weights on them."""
        gone = np.concatenate([fit.regression.rows[fit.count :] for fit in (first, *others)])
        kept = np.setdiff1d(first.regression.rows, gone)
        order = np.concatenate([kept, gone])
        target = first.target
        return NestedRegression.of(order, self._energy(target), _weight(target)).on(len(kept))

    def _selected(self, target: Target, rows: Indices, up: Array) -> Factors:
        weight, mean = _weight(target), self.mean(target)
        down = np.zeros((len(weight), len(rows)))
        down[rows, np.arange(len(rows))] = 1.0
        shift = mean @ weight - mean[rows] @ up if target.centred else None
        return Factors(down[None], up[None], shift, chain=WithoutChannels())

    def _energy(self, target: Target) -> Array:
        """The second moment of a reader's input about what a bias absorbs, shape (K, K).

        Of moments and their factor one is kept: they are as large as all else together.
        """
        known = next((r for (_, name), r in self._fitted.items() if name == target.name), None)
        if known is not None:
            return known.energy
        self.mean(target)
        found = self._moments.pop(target.name)
        energy = (found.covariance if target.centred else found.second_moment)[0]
        own = np.diag(energy)
        least = max(_LEAST * float(own.mean()), 1e-30)
        energy[np.diag_indices(len(energy))] += _ON_SIGNAL * own + least
        return np.asarray(energy)

    def _weighed(self, target: Target) -> Array:
        """W G Wᵀ of a reader, shape (K, K)."""
        found = self._statistics[target.name].gradient
        assert found is not None
        weight, gradient = _weight(target), found.mean[0]
        if target.side == "output":
            unit = _ON_GRADIENT * float(np.trace(gradient)) / len(gradient)
            return np.asarray(weight @ (gradient + unit * np.eye(len(gradient))) @ weight.T)
        gram = weight @ weight.T
        return np.asarray(
            gradient + _ON_GRADIENT * float(np.trace(gradient) / max(np.trace(gram), 1e-30)) * gram
        )


def _weight(target: Target) -> Array:
    return np.asarray(target.matrices()[0])


class CutsApart:
    """The cuts that all folds of the data but one give, each made once."""

    def __init__(self, parts: Sequence[Statistics], moments: Sequence[InputMoments]) -> None:
        """Begins with none.

        Args:
            parts: The statistics of each fold.
            moments: The moments of readers' inputs in each fold.
        """
        self._parts, self._moments = parts, moments
        self._known: dict[int, ChannelCuts] = {}

    def without(self, fold: int) -> ChannelCuts:
        """The cuts that all folds but one give; all of them where there is but one."""
        if fold not in self._known:
            first, *rest = _others(self._parts, fold)
            moments = merged_moments(_others(self._moments, fold))
            self._known[fold] = ChannelCuts(first.merge(*rest), moments)
        return self._known[fold]


def _others(parts: Sequence[_Part], fold: int) -> list[_Part]:
    return [part for index, part in enumerate(parts) if index != fold] or list(parts)
