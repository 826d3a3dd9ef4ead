"""What cutting a target costs, measured on data that did not choose the directions.

A cut to rank r changes y = x W at each place of a sample by minus the components beyond r, and so
the loss, to second order, by ½ of the expectation of (Σ over places of that change times g)²: the
Fisher information itself, without the assumption of the Kronecker approximation that places and
their gradients are independent. In a convolution they are not, by far.

A target with directions lift_k, drop_k (see `spectrum`) gives each sample n the coefficients

    c_nk = Σ_p (s_p · lift_k) (drop_k · d_p)

with s, d the signal and the gradient at place p, on the side where the target is observed; then

    loss(r) = ½ mean_n (Σ_{k ≥ r} c_nk)².

Directions come from one fold of the data and coefficients from the others (cross-fitting), so that
an allocation sees no optimism: with few samples a spectrum looks far shorter than it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from .calibrate import FOLDS, fold_of, fold_size
from .calibration import CalibrationData
from .observer import Observer
from .passes import Target
from .spectrum import Spectrum

__all__ = ["Directions", "fisher_losses", "kronecker_losses", "relative_losses"]

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


def fisher_losses(
    observer: Observer,
    targets: Sequence[Target],
    data: CalibrationData,
    directions: Sequence[Mapping[str, Sequence[Directions]]],
    limit: int | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> dict[str, list[Array]]:
    """The loss of each target at every rank, in nats of the divergence.

    Args:
        observer: The model, observed at the targets, with gradients.
        targets: The targets; those without gradients are left out.
        data: The calibration data, in the same order as when the folds were made.
        directions: For each fold, target name to the directions made of it, one a metric.
        limit: Use about so many samples.
        advance: Called after each batch with its number of samples.

    Returns:
        Target name to the loss under each metric, shape (full rank + 1,), not increasing, from
        rank 0.
    """
    sums: dict[str, list[Array]] = {}
    samples: dict[str, int] = {}
    seen = judged = 0
    share = 1.0 if limit is None else min(1.0, limit / data.calibration_samples)
    for batch in data.batches("calibration", fold_size(observer, data)):
        own = fold_of(seen, data)
        seen += batch.samples
        if judged > share * (seen - batch.samples):
            continue  # the judges are spread over all of the data
        judged += batch.samples
        others = [fold for fold in range(FOLDS) if fold != own]
        observation = observer.run(batch)
        for target in targets:
            if target.name not in observer.gradients:
                continue
            paired = observation.paired(target, seen)
            for fold in others:
                tried = directions[fold].get(target.name)
                if paired is None or not tried:
                    continue
                squares = [each.squared_changes(*paired) for each in tried]
                before = sums.get(target.name, [np.zeros_like(each) for each in squares])
                sums[target.name] = [a + b for a, b in zip(before, squares, strict=True)]
                samples[target.name] = samples.get(target.name, 0) + batch.samples
        advance(batch.samples)
    return {
        name: [_falling(0.5 * each / samples[name]) for each in squares]
        for name, squares in sums.items()
    }


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

    def squared_changes(
        self,
        signal: npt.NDArray[np.float32],
        gradient: npt.NDArray[np.float32],
        scale: float,
    ) -> Array:
        """Sum over samples of the squared change of the loss that a cut to each rank makes.

        Args:
            signal: Shape (groups, samples, places, width).
            gradient: Likewise.
            scale: How many places each stands for.

        Returns:
            Shape (width + 1,), from rank 0.
        """
        coefficients = np.zeros((signal.shape[1], self._ahead.shape[2]))
        for group in range(signal.shape[0]):
            s = (signal[group] - self._mean[group]) @ self._ahead[group]
            d = gradient[group] @ self._behind[group]
            coefficients += np.einsum("npk,npk->nk", s, d, optimize=False)
        beyond = scale * np.cumsum(coefficients[:, ::-1], axis=1)[:, ::-1]
        return np.append(np.square(beyond).sum(axis=0), 0.0)


def _falling(losses: Array) -> Array:
    """Losses made to fall with the rank, as their expectation does."""
    return np.asarray(np.maximum.accumulate(losses[::-1])[::-1])
