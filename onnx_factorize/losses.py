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

from .calibrate import FOLDS, fold_size
from .calibration import CalibrationData
from .observer import Observer
from .passes import Target
from .spectrum import Spectrum

__all__ = ["fisher_losses", "kronecker_losses", "relative_losses"]

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
    spectra: Sequence[Mapping[str, Spectrum]],
    means: Sequence[Mapping[str, Array]],
    limit: int | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> dict[str, Array]:
    """The loss of each target at every rank, in nats of the divergence.

    Args:
        observer: The model, observed at the targets, with gradients.
        targets: The targets; those without gradients are left out.
        data: The calibration data, in the same order as when the folds were made.
        spectra: For each fold, target name to the spectrum made of it.
        means: For each fold, target name to what the bias absorbs of its signal, shape
            (groups, 1, width).
        limit: Stop after so many samples.
        advance: Called after each batch with its number of samples.

    Returns:
        Target name to loss, shape (full rank + 1,), not increasing, from rank 0.
    """
    sums = {t.name: _Sum(t) for t in targets if t.name in observer.gradients}
    seen = 0
    for index, batch in enumerate(data.batches("calibration", fold_size(data))):
        others = [fold for fold in range(FOLDS) if fold != index % FOLDS]
        observation = observer.run(batch)
        for target in targets:
            if target.name not in sums:
                continue
            paired = observation.paired(target, index)
            for fold in others:
                spectrum = spectra[fold].get(target.name)
                if paired is not None and spectrum is not None:
                    sums[target.name].add(*paired, spectrum, means[fold][target.name])
        seen += batch.samples
        advance(batch.samples)
        if limit is not None and seen >= limit:
            break
    return {name: total.losses() for name, total in sums.items() if total.samples}


class _Sum:
    """The sum over samples of the squared change that a cut to each rank makes."""

    def __init__(self, target: Target) -> None:
        self._squares = np.zeros(target.width + 1)
        self.samples = 0

    def add(
        self,
        signal: npt.NDArray[np.float32],
        gradient: npt.NDArray[np.float32],
        scale: float,
        spectrum: Spectrum,
        mean: Array,
    ) -> None:
        """Adds the samples of a batch.

        Args:
            signal: Shape (groups, samples, places, width).
            gradient: Likewise.
            scale: How many places each stands for.
            spectrum: The directions.
            mean: What to subtract from the signal, shape (groups, 1, width).
        """
        coefficients = np.zeros((signal.shape[1], spectrum.lift.shape[2]))
        for group in range(signal.shape[0]):
            # On the input side drop meets x and lift meets W g: the roles are exchanged.
            ahead, behind = spectrum.lift[group], spectrum.drop[group].T
            if spectrum.side == "input":
                ahead, behind = behind, ahead
            s = (signal[group] - mean[group].astype(np.float32)) @ ahead.astype(np.float32)
            d = gradient[group] @ behind.astype(np.float32)
            coefficients += np.einsum("npk,npk->nk", s, d, dtype=np.float64)
        beyond = scale * np.cumsum(coefficients[:, ::-1], axis=1)[:, ::-1]
        self._squares[: beyond.shape[1]] += np.square(beyond).sum(axis=0)
        self.samples += len(beyond)

    def losses(self) -> Array:
        """Half of the mean, made to fall with the rank as the expectation must."""
        half = 0.5 * self._squares / self.samples
        return np.asarray(np.maximum.accumulate(half[::-1])[::-1])
