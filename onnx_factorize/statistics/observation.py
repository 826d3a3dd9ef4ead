"""One batch's signals and gradients at targets, as rows."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from ..arrays import AnyArray
from ..calibration import Batch
from ..keyed_random import Keys, keys_of
from ..passes import Target
from .im2col import channel_rows, convolution_rows, linear_rows

__all__ = ["AtInputs", "FedSignals", "Observation", "Pair", "Shows"]


# Signals, gradients at the same places, and how many places each stands for.
Pair = tuple[AnyArray, AnyArray, float]

# Places of a sample whose changes are summed, at most: those of a 64 x 64 image.
_PLACES = 4096

# The same where each place must be unfolded by im2col first.
_UNFOLDED_PLACES = 256


class Shows(Protocol):
    """Shows the values of targets.

    Attributes:
        seed: Seed of the places that are looked at.
        taps: Target name to the name of its signal.
        gradients: Target name to the name of its gradient, where there is one.
        back: Target name to what takes its gradient to the side that is observed.
        not_finite: Target name to where its signal is not finite.
    """

    seed: int
    taps: dict[str, str]
    gradients: dict[str, str]
    back: dict[str, AnyArray]
    not_finite: dict[str, str]

    def side(self, target: Target) -> Literal["input", "output"]:
        """The side on which the signal of a target is observed."""

    def lose_gradient(self, target: Target, where: str) -> None:
        """Takes note of a gradient that is not finite."""


class AtInputs:
    """Shows what targets read in a model that is observed elsewhere too (see `Shows`)."""

    def __init__(self, observer: Shows, taps: dict[str, str]) -> None:
        """Takes the taps there, and gradients as the graph computes them."""
        self._observer, self.taps = observer, taps
        self.seed, self.gradients = observer.seed, observer.gradients
        self.not_finite = observer.not_finite
        self.back: dict[str, AnyArray] = {}

    def side(self, target: Target) -> Literal["input", "output"]:  # noqa: ARG002 - of all targets
        """Always the input."""
        return "input"

    def lose_gradient(self, target: Target, where: str) -> None:
        """Takes note for both."""
        self._observer.lose_gradient(target, where)


class FedSignals:
    """Shows what targets read where that is fed to a model: nothing is run (see `Shows`)."""

    def __init__(self, targets: Sequence[Target], seed: int = 0) -> None:
        """Begins with nothing seen."""
        self.seed = seed
        self.taps = {target.name: target.x.name or "" for target in targets}
        self.gradients: dict[str, str] = {}
        self.back: dict[str, AnyArray] = {}
        self.not_finite: dict[str, str] = {}

    def side(self, target: Target) -> Literal["input", "output"]:  # noqa: ARG002 - of all targets
        """Always the input."""
        return "input"

    def lose_gradient(self, target: Target, where: str) -> None:
        """There are none to lose."""

    def run(self, batch: Batch) -> Observation:
        """Runs the model on what one batch feeds."""
        return Observation(self, batch.feeds, batch)


class Observation:
    """The values that one batch showed.

    Attributes:
        batch: The batch.
    """

    def __init__(
        self,
        observer: Shows,
        values: Mapping[str, AnyArray],
        batch: Batch,
        names: Collection[str] | None = None,
    ) -> None:
        """Takes the values.

        Args:
            observer: Whose targets they are of.
            values: The values, by name.
            batch: The batch.
            names: The targets that they show; None for all.
        """
        self._observer = observer
        self._values = values
        self._names = names
        self.batch = batch

    def by(self, observer: Shows) -> Observation:
        """The same values as another shows them."""
        return Observation(observer, self._values, self.batch, self._names)

    def shows(self, target: Target) -> bool:
        """Tells whether it is of a target, which others may be of."""
        return self._names is None or target.name in self._names

    def ran(self, target: Target) -> bool:
        """Tells whether the target ran: it did not if it is in a branch that was not taken."""
        return bool(self._values[self._observer.taps[target.name]].size)

    def signal(self, target: Target, positions: int) -> AnyArray | None:
        """Rows of x, or of y, at no more than `positions` places of each sample of an image.

        Returns:
            Shape (groups, rows, width), padding left out; None if the target did not run, or its
            signal is not finite, which the observer then knows.
        """
        if not self.ran(target):
            return None
        value = self._values[self._observer.taps[target.name]]
        rows = self._rows(target, value, self.batch.mask, positions)
        return rows if self._is_finite(rows, target) else None

    def gradient(self, target: Target, positions: int) -> tuple[AnyArray, float] | None:
        """Rows of W g, or of g, and how many places each stands for.

        Returns:
            Shape (groups, rows, width); None if the target did not run, or its gradient is not
            finite, which the observer then knows.
        """
        name = self._observer.gradients.get(target.name)
        if name is None or not self._values[name].size:
            return None
        value = self._values[name]
        if target.convolution is None:
            rows = linear_rows(value)
        else:
            rows = channel_rows(value, target.groups, positions, self._keys(target))
        rows, scale = _summable(rows), value.size / rows.size
        if target.name in self._observer.back:
            with np.errstate(over="ignore", invalid="ignore"):
                rows = rows @ self._observer.back[target.name]
        if not _finite(rows):
            self._observer.lose_gradient(target, self.batch.where)
            return None
        return rows, scale

    def skipped(self, target: Target) -> bool:
        """Tells whether the target did not run, so that its gradient here is zero."""
        return target.name in self._observer.gradients and not self.ran(target)

    def paired(self, target: Target) -> tuple[AnyArray, AnyArray, float] | None:
        """Signal and gradient at the same places, sample by sample.

        Returns:
            Two arrays of shape (groups, samples, places, width), and how many places each stands
            for; None if the target did not run, its rows do not belong to single samples, or one of
            the two is not finite.
        """
        if not self.ran(target):
            return None
        value = self._values[self._observer.taps[target.name]]
        unfolded = target.convolution is not None and not target.convolution.pointwise
        unfolded = unfolded and self._observer.side(target) == "input"
        positions = _UNFOLDED_PLACES if unfolded else _PLACES
        found = self.gradient(target, positions)
        signal = self._rows(target, value, None, positions)
        # What is the same for all samples of a batch, such as positions, has their summed gradient.
        common = value.ndim > 2 and value.shape[0] == 1
        samples = 1 if common else self.batch.samples
        if found is None or signal.shape[1] % samples or signal.shape[1] != found[0].shape[1]:
            return None
        if not self._is_finite(signal, target):
            return None
        shape = (target.groups, samples, signal.shape[1] // samples, -1)
        return signal.reshape(shape), found[0].reshape(shape), found[1]

    def embeddings(self, target: Target) -> tuple[AnyArray, AnyArray] | None:
        """The rows that an embedding picked, and the gradients there, if both sides are observed.

        Returns:
            Indices of shape (samples, places), and an array of shape (samples, places, N); None if
            the target did not run, or its rows do not belong to single samples.
        """
        picked = self._values[self._observer.taps[target.name]]
        found = self.gradient(target, 0)
        if found is None or found[0].shape[1] != picked.size:
            return None
        samples = 1 if len(picked) == 1 else self.batch.samples
        if picked.size % samples:
            return None
        indices = picked.reshape(samples, -1) % target.rows
        return indices, found[0].reshape(*indices.shape, target.columns)

    def pairs(self, target: Target) -> list[Pair]:
        """The same of a target and each of those tied to it, as the target sees it.

        One that multiplies by the transpose changes the loss by the same products with
        signal and gradient exchanged.
        """
        found = []
        for use in target.uses:
            pair = self.paired(use)
            if pair is not None:
                signal, gradient, scale = pair
                found.append((gradient, signal, scale) if use.flipped else pair)
        return found

    def _rows(
        self,
        target: Target,
        value: AnyArray,
        mask: npt.NDArray[np.bool_] | None,
        positions: int,
    ) -> AnyArray:
        if target.convolution is None:
            transposed = target.transposed_input and self._observer.side(target) == "input"
            rows = linear_rows(value, transposed=transposed, mask=mask)
        elif self._observer.side(target) == "input":
            return _summable(
                convolution_rows(
                    value, target.convolution, target.groups, positions, self._keys(target)
                )
            )
        else:
            rows = channel_rows(value, target.groups, positions, self._keys(target))
        rows = _summable(rows)
        if (
            target.group is not None
            and target.side == "output"
            and self._observer.side(target) == "output"
        ):
            # Tied operators add different rows to the products that they have in common.
            assert target.bias is not None
            rows = rows - target.bias.reshape(target.groups, 1, -1).astype(rows.dtype)
        return rows

    def _keys(self, target: Target) -> Keys:
        """Keys that choose places: the same for the signal and the gradient of a target."""
        batch = self.batch
        indices = batch.indices if len(batch.indices) else np.arange(batch.samples)
        return keys_of(indices, self._observer.seed, target.operator)

    def _is_finite(self, signal: AnyArray, target: Target) -> bool:
        """Tells whether a signal is finite, and the observer where it is not."""
        finite = _finite(signal)
        if not finite:
            self._observer.not_finite.setdefault(target.name, self.batch.where)
        return finite


def _finite(rows: AnyArray) -> bool:
    """Tells whether squares of rows, which are what is summed, are finite in their precision."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(np.vdot(rows, rows)))


def _summable(rows: AnyArray) -> AnyArray:
    """Rows whose products can be summed: in half precision a sum of 65,520 is infinite."""
    return rows if rows.dtype in (np.float32, np.float64) else rows.astype(np.float32)
