"""The losses of cuts, measured on data that did not choose the directions.

A cut to rank r changes y = x W at each place of a sample by minus the components beyond r, and so
the loss, to second order, by ½ of the expectation of (Σ over places of that change times g)²: the
Fisher information itself, without the assumption of the Kronecker approximation that places and
their gradients are independent. In a convolution they are not, by far.

A target with directions basis_k, dual_k (see `spectrum`) gives each sample n the coefficients

    c_nk = Σ_p (s_p · basis_k) (dual_k · d_p)

with s, d the signal and the gradient at place p, on the side where the target is observed; then

    loss(r) = ½ mean_n (Σ_{k ≥ r} c_nk)².

Coefficients come from one fold of the data and directions from the others (cross-fitting), so that
an allocation sees no optimism: with few samples a spectrum looks far shorter than it is.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from ..arrays import Array
from ..calibration import Batch
from ..parallel import in_parallel
from ..passes import Target
from ..runtime.paging import keep
from ..statistics.observation import Observation, Pair
from ..statistics.observer import Observer
from .spectrum import Spectrum

__all__ = [
    "Directions",
    "LossSums",
    "cross_validate",
    "kronecker_losses",
    "ranks_of_interest",
    "relative_losses",
    "table_losses",
]

Rows = npt.NDArray[np.float32]


def relative_losses(spectrum: Spectrum) -> Array:
    """The share of a target's energy that a cut to each rank discards, shape (full rank + 1,).

    Without gradients nothing tells how much the output of one target matters beside another's.
    """
    beyond = np.append(np.cumsum(spectrum.squares[::-1])[::-1], 0.0)
    return np.asarray(beyond / (spectrum.energy or 1.0))


def kronecker_losses(spectrum: Spectrum) -> Array:
    """Half of the σ² beyond each rank: what a cut costs under the Kronecker approximation."""
    return np.asarray(0.5 * np.append(np.cumsum(spectrum.squares[::-1])[::-1], 0.0))


def ranks_of_interest(target: Target) -> slice:
    """The ranks below which a target is smaller, the lowest third left out."""
    last = max(2, -(-target.params // target.factor_params(1)))
    return slice(max(1, last // 3), last)


def table_losses(target: Target, judged: Array, spectrum: Spectrum) -> Array:
    """The losses of an embedding, from those that were cross-validated.

    Of a row that only the held-out samples pick, the other folds know no direction: what they lose
    there is flat up to high ranks, and a budget would take next to nothing or all. A cut keeps
    those rows' directions too, for it is made of all data. So the shape is that of the Kronecker
    approximation, and its height the mean of what was found.

    Args:
        target: The embedding.
        judged: Its losses on samples that did not make the directions, shape (full rank + 1,).
        spectrum: Its spectrum by all data.
    """
    closed, ranks = kronecker_losses(spectrum), ranks_of_interest(target)
    least = 1e-6 * closed[0]
    seen = (closed[ranks] > least) & (judged[ranks] > 0)
    if not seen.any():
        return judged
    ratios = np.log(judged[ranks][seen]) - np.log(closed[ranks][seen])
    return np.asarray(closed * np.exp(ratios.mean()))


@dataclasses.dataclass
class LossSums:
    """Squared changes of the loss, summed over samples that did not make the directions.

    Attributes:
        total: Shape (full rank + 1,), from rank 0.
        samples: Number of samples.
    """

    total: Array
    samples: int = 0

    def add(self, squares: Array, samples: int) -> None:
        """Adds some samples, in place."""
        self.total = self.total + squares
        self.samples += samples

    @property
    def losses(self) -> Array:
        """The loss at every rank, in nats of the divergence; it falls, as its expectation does."""
        mean = 0.5 * self.total / max(1, self.samples)
        return np.asarray(np.maximum.accumulate(mean[::-1])[::-1])


def cross_validate(
    observer: Observer,
    targets: Sequence[Target],
    batches: Iterable[Batch],
    directions: Mapping[str, Directions],
    sums: dict[str, dict[int, LossSums]],
    draws: int = 1,
    advance: Callable[[int], None] = lambda _: None,
    watch: Callable[[Observation], None] = lambda _: None,
    together: Sequence[Collection[str]] = (),
) -> None:
    """Adds to `sums` what cuts along given directions change on given samples.

    Args:
        observer: The model, observed at the targets, with gradients.
        targets: The targets; those without gradients are left out.
        batches: The samples.
        directions: Target name to its directions.
        sums: Target name to what was found, by shrinkage.
        draws: Labels to draw for each sample.
        advance: Called after each batch with its number of samples.
        watch: Called with what each batch showed, at each draw.
        together: Names of targets that `watch` sees all or none of.
    """
    wanted = [t for t in targets if t.name in directions and t.name in observer.gradients]
    ties = [[use.name for use in target.uses] for target in wanted if target.tied]
    for batch, seen in observer.each(batches, draws, advance, together=[*ties, *together]):
        shown = [target for target in wanted if all(map(seen.shows, target.uses))]
        changes_of = functools.partial(_changes, seen, directions)
        for target, changes in zip(shown, in_parallel(changes_of, shown), strict=True):
            if not changes:
                continue
            found = sums.setdefault(target.name, {})
            for index, squares in changes.items():
                own = found.setdefault(index, LossSums(np.zeros_like(squares)))
                own.add(squares, batch.samples)
        watch(seen)
        del seen, changes_of  # what the batch showed, before the next one runs


def _changes(
    observation: Observation, directions: Mapping[str, Directions], target: Target
) -> dict[int, Array]:
    """The squared changes of one target in one batch, by shrinkage; none where they are not known.

    Where a target did not run, nothing changes.
    """
    pairs = observation.pairs(target)
    if pairs or all(observation.skipped(use) for use in target.uses):
        return directions[target.name].squared_changes(pairs)
    return {}


class Directions:
    """The directions of some spectra of one target, ready to meet signals and gradients."""

    def __init__(self, spectra: Mapping[int, Spectrum], mean: Array) -> None:
        """Prepares the directions.

        Args:
            spectra: Their sources, by shrinkage.
            mean: What a bias absorbs of the signal, shape (groups, 1, width).
        """
        self._shrinkages = list(spectra)
        self._mean = mean.astype(np.float32)
        # What meets the signal and what meets the gradient, shape (groups, width, directions),
        # shrinkages beside each other.
        sides = [_sides(spectrum) for spectrum in spectra.values()]
        # Of many targets together they take more than there may be in memory.
        self._ahead, self._behind = (
            keep(np.concatenate(side, axis=2, dtype=np.float32))
            for side in zip(*sides, strict=True)
        )

    def squared_changes(self, pairs: Sequence[Pair]) -> dict[int, Array]:
        """Sum over samples of the squared change of the loss that a cut to each rank makes.

        Args:
            pairs: Signals and gradients at the same places, and how many places each stands for;
                one for each operator that reads the weight and ran.

        Returns:
            By shrinkage, shape (width + 1,), from rank 0.
        """
        if not pairs:
            width = self._ahead.shape[2] // len(self._shrinkages)
            return {index: np.zeros(width + 1) for index in self._shrinkages}
        each = [self._coefficients(*pair) for pair in pairs]
        found = {}
        for index, changes in zip(self._shrinkages, zip(*each, strict=True), strict=True):
            # An operator whose input all samples share knows only the change of the whole batch.
            whole = len({len(change) for change in changes}) > 1
            summed = [c.sum(axis=0, keepdims=True) if whole else c for c in changes]
            beyond = np.cumsum(np.sum(summed, axis=0)[:, ::-1], axis=1)[:, ::-1]
            found[index] = np.append(np.square(beyond).sum(axis=0), 0.0)
        return found

    def _coefficients(self, signal: Rows, gradient: Rows, scale: float) -> list[Array]:
        """The contribution of each direction to the change of each sample's loss.

        Args:
            signal: Shape (groups, samples, places, width).
            gradient: Likewise.
            scale: How many places each stands for.

        Returns:
            For each shrinkage, shape (samples, width).
        """
        groups, samples, places, width = signal.shape
        count = self._ahead.shape[2]
        # Whichever is less arithmetic: 2 · places · count products of vectors of `width` numbers,
        # or width · places and then width · count of them.
        by_place = 2 * places * count <= width * (places + count)
        coefficients_of = _from_places if by_place else _from_cross_moments
        total = np.zeros((samples, count))
        for group in range(groups):
            total += coefficients_of(
                signal[group] - self._mean[group],
                gradient[group],
                self._ahead[group],
                self._behind[group],
            )
        return np.split(scale * total, len(self._shrinkages), axis=1)


def _sides(spectrum: Spectrum) -> tuple[Array, Array]:
    ahead, behind = spectrum.basis, spectrum.dual.transpose(0, 2, 1)
    # Where the input is observed, dual meets x and basis meets W g: the roles are exchanged.
    return (behind, ahead) if spectrum.side == "input" else (ahead, behind)


def _from_places(signal: Rows, gradient: Rows, ahead: Rows, behind: Rows) -> Array:
    """Coefficients, shape (samples, directions), from what is in each direction at each place.

    Args:
        signal: Shape (samples, places, width).
        gradient: Likewise.
        ahead: What meets the signal, shape (width, directions).
        behind: What meets the gradient, likewise.
    """
    samples, places, width = signal.shape
    found = np.empty((samples, ahead.shape[1]))
    for first in range(0, ahead.shape[1], width):  # shrinkage by shrinkage: less is held
        own = slice(first, first + width)
        # One product of all rows, not one a sample.
        products = signal.reshape(-1, width) @ ahead[:, own]
        products *= gradient.reshape(-1, width) @ behind[:, own]
        found[:, own] = products.reshape(samples, places, -1).sum(axis=1)
    return found


def _from_cross_moments(signal: Rows, gradient: Rows, ahead: Rows, behind: Rows) -> Array:
    """The same from Σ_p s_p d_pᵀ of each sample, which all directions share."""
    found = np.empty((len(signal), ahead.shape[1]))
    for number, (s, d) in enumerate(zip(signal, gradient, strict=True)):
        found[number] = np.einsum("wk,wk->k", ahead, s.T @ d @ behind)
    return found
