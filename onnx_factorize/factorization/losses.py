"""What cutting a target costs, measured on data that did not choose the directions.

A cut to rank r changes y = x W at each place of a sample by minus the components beyond r, and so
the loss, to second order, by ½ of the expectation of (Σ over places of that change times g)²: the
Fisher information itself, without the assumption of the Kronecker approximation that places and
their gradients are independent. In a convolution they are not, by far.

A target with directions lift_k, drop_k (see `spectrum`) gives each sample n the coefficients

    c_nk = Σ_p (s_p · lift_k) (drop_k · d_p)

with s, d the signal and the gradient at place p, on the side where the target is observed; then

    loss(r) = ½ mean_n (Σ_{k ≥ r} c_nk)².

Coefficients come from one fold of the data and directions from the others (cross-fitting), so that
an allocation sees no optimism: with few samples a spectrum looks far shorter than it is.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from ..calibration import Batch
from ..passes import Target
from ..statistics.observer import Observer, Pair
from .spectrum import Spectrum

__all__ = ["Directions", "Judged", "judge", "kronecker_losses", "relative_losses"]

Array = npt.NDArray[np.float64]


def relative_losses(spectrum: Spectrum) -> Array:
    """The share of a target's energy that a cut to each rank discards, shape (full rank + 1,).

    Without gradients nothing tells how much the output of one target matters beside another's.
    """
    beyond = np.append(np.cumsum(spectrum.squares[::-1])[::-1], 0.0)
    return np.asarray(beyond / (spectrum.energy or 1.0))


def kronecker_losses(spectrum: Spectrum) -> Array:
    """Half of the σ² beyond each rank: what a cut costs under the Kronecker approximation."""
    return np.asarray(0.5 * np.append(np.cumsum(spectrum.squares[::-1])[::-1], 0.0))


@dataclasses.dataclass
class Judged:
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


def judge(
    observer: Observer,
    targets: Sequence[Target],
    batches: Iterable[Batch],
    directions: Mapping[str, Mapping[int, Directions]],
    results: dict[str, dict[int, Judged]],
    draws: int = 1,
    advance: Callable[[int], None] = lambda _: None,
) -> None:
    """Adds to `results` what cuts along given directions change on given samples.

    Args:
        observer: The model, observed at the targets, with gradients.
        targets: The targets; those without gradients are left out.
        batches: The samples.
        directions: Target name to its directions, by metric.
        results: Target name to what was found, by metric.
        draws: Labels to draw for each sample.
        advance: Called after each batch with its number of samples.
    """
    for number, batch in enumerate(batches):
        for _ in range(draws):
            observation = observer.run(batch)
            for target in targets:
                tried = directions.get(target.name)
                if not tried or target.name not in observer.gradients:
                    continue
                pairs = observation.pairs(target, number)
                if not pairs:
                    continue
                found = results.setdefault(target.name, {})
                for metric, each in tried.items():
                    squares = each.squared_changes(pairs)
                    judged = found.setdefault(metric, Judged(np.zeros_like(squares)))
                    judged.add(squares, batch.samples)
        advance(batch.samples)


class Directions:
    """The directions of a spectrum, ready to meet signals and gradients of other samples."""

    def __init__(self, spectrum: Spectrum, mean: Array) -> None:
        """Prepares the directions.

        Args:
            spectrum: Their source.
            mean: What a bias absorbs of the signal, shape (groups, 1, width).
        """
        ahead, behind = spectrum.lift, spectrum.drop.transpose(0, 2, 1)
        if spectrum.side == "input":
            # There drop meets x and lift meets W g: the roles are exchanged.
            ahead, behind = behind, ahead
        self._ahead = ahead.astype(np.float32)
        self._behind = behind.astype(np.float32)
        self._mean = mean.astype(np.float32)

    def squared_changes(self, pairs: Sequence[Pair]) -> Array:
        """Sum over samples of the squared change of the loss that a cut to each rank makes.

        Args:
            pairs: Signals and gradients at the same places, and how many places each stands for;
                one for each operator that reads the weight.

        Returns:
            Shape (width + 1,), from rank 0.
        """
        changes = [self._coefficients(*pair) for pair in pairs]
        if len({len(change) for change in changes}) > 1:  # some are known of the whole batch only
            changes = [change.sum(axis=0, keepdims=True) for change in changes]
        beyond = np.cumsum(np.sum(changes, axis=0)[:, ::-1], axis=1)[:, ::-1]
        return np.append(np.square(beyond).sum(axis=0), 0.0)

    def _coefficients(
        self,
        signal: npt.NDArray[np.float32],
        gradient: npt.NDArray[np.float32],
        scale: float,
    ) -> Array:
        """What each direction contributes to the change of each sample's loss.

        Args:
            signal: Shape (groups, samples, places, width).
            gradient: Likewise.
            scale: How many places each stands for.

        Returns:
            Shape (samples, width).
        """
        groups, samples, places, width = signal.shape
        coefficients = np.zeros((samples, self._ahead.shape[2]))
        for group in range(groups):
            # One product of all rows, not one a sample, which BLAS would start its threads for.
            s = (signal[group] - self._mean[group]).reshape(-1, width) @ self._ahead[group]
            d = gradient[group].reshape(-1, width) @ self._behind[group]
            products = (s * d).reshape(samples, places, -1)
            coefficients += products.sum(axis=1)
        return scale * coefficients
