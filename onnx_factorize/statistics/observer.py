"""A model that shows what its targets compute, and the gradients there, as rows."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from ..calibration import Batch
from ..keyed_random import Keys, keys_of
from ..options import Labels
from ..outputs import OutputDistribution
from ..outputs.shapes import OutputShapes
from ..passes import FixDraws, KeepOutputs, Observe, SeparateUnfoldings, Side, Target
from ..runtime.session import Runtime
from .im2col import channel_rows, convolution_rows, linear_rows
from .seeding import Seeding
from .target_gradients import TargetGradients

__all__ = ["Observation", "Observer", "Pair"]

Array = npt.NDArray[Any]

# Signals, gradients at the same places, and how many places each stands for.
Pair = tuple[Array, Array, float]

# Places of a sample whose changes are summed, at most: those of a 64 x 64 image.
_PLACES = 4096

# The same where each place must be unfolded by im2col first.
_UNFOLDED_PLACES = 256


class Observer:
    """Runs a model with taps at its targets.

    Attributes:
        unreachable: Target name to the reason why its gradient is not to be had; empty where no
            gradients are wanted. Those that are found not to be finite join them.
        not_finite: Target name to where what it reads, or computes, is not finite in the model.
    """

    def __init__(
        self,
        model: ir.Model,
        targets: Sequence[Target],
        runtime: Runtime,
        outputs: Mapping[str, OutputDistribution] | None = None,
        seed: int = 0,
        *,
        side: Side = "narrow",
        shapes: OutputShapes | None = None,
        labels: Labels = "drawn",
    ) -> None:
        """Builds the session.

        Args:
            model: The normalised model; it is not changed.
            targets: The targets to observe.
            runtime: How to run the model.
            outputs: Output name to the distribution that the gradient is seeded by; None for no
                gradients.
            seed: Seed of the labels that are drawn, and of the places that are looked at.
            side: Where signals are observed. Unless that is the narrow side, gradients are those
                of y.
            shapes: What is known of the shapes of outputs.
            labels: Whether labels are drawn, or come with the data.
        """
        observed = model.clone()
        FixDraws()(observed)
        uses = [use for target in targets for use in target.uses]
        names = [use.name for use in uses]
        separate = SeparateUnfoldings({target.name for target in targets if not target.is_own})
        separate(observed)
        observe = Observe(names, side, points=separate.points, replaced=separate.inputs)
        observe(observed)
        self.taps = observe.taps
        self.not_finite: dict[str, str] = {}
        self._leaders = {use.name: target for target in targets for use in target.uses}
        self._side = side
        self.seed = seed
        if outputs is not None:
            made = TargetGradients.appended(observed, targets, outputs, separate, labels)
        else:
            made = TargetGradients()
        self._gradients, self.gradients, self.unreachable = made, made.values, made.unreachable
        # A target that is observed where it is narrower, at its input, needs W g in place of g.
        self.back = {
            target.name: target.matrices().astype(np.float32).transpose(0, 2, 1)
            for target in uses
            if target.side == "input" and target.name in self.gradients and side == "narrow"
            # In a further unfolding the gradient is observed where the signal is.
            if target.is_own
        }
        sizes = [each.size for each in made.inputs.values()]
        kept = sorted({*self.taps.values(), *self.gradients.values(), *sizes})
        KeepOutputs(kept)(observed)
        self._session = runtime.session(observed, kept)
        self._seeding = Seeding(observed, made.inputs, outputs or {}, model, runtime, shapes, seed)

    def signal_of(self, target: Target) -> Hashable:
        """A key that tells signals apart: targets of one signal observe the same rows."""
        if target.side != "input":
            return target.name
        tap = self.taps[target.name]
        return tap, target.convolution, target.groups, target.transposed_input

    def lose_gradient(self, target: Target, where: str) -> None:
        """Leaves out a gradient that is not finite, and those of all that share the weight."""
        self.unreachable.setdefault(target.name, f"its gradient is not finite on {where}")
        self._gradients.leave_incomplete(self._leaders[target.name])

    def observed_bytes(self, batch: Batch) -> int:
        """The bytes that are observed of a batch."""
        found = self._seeding.run(self._session, batch)
        return sum(value.nbytes for value in found.values())

    def run(self, batch: Batch, draw: int = 0) -> Observation:
        """Runs one batch, with the labels of one of several draws."""
        return Observation(self, self._seeding.run(self._session, batch, draw), batch)

    def side(self, target: Target) -> Literal["input", "output"]:
        """The side on which the signal of a target is observed."""
        return target.side if self._side == "narrow" else self._side


class Observation:
    """The values that one batch showed.

    Attributes:
        batch: The batch.
    """

    def __init__(self, observer: Observer, values: Mapping[str, Array], batch: Batch) -> None:
        self._observer = observer
        self._values = values
        self.batch = batch

    def ran(self, target: Target) -> bool:
        """Tells whether the target ran: it did not if it is in a branch that was not taken."""
        return bool(self._values[self._observer.taps[target.name]].size)

    def signal(self, target: Target, positions: int) -> Array | None:
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

    def gradient(self, target: Target, positions: int) -> tuple[Array, float] | None:
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
        scale = value.size / rows.size
        if target.name in self._observer.back:
            with np.errstate(over="ignore", invalid="ignore"):
                rows = rows @ self._observer.back[target.name]
        if not _finite(rows):
            self._observer.lose_gradient(target, self.batch.where)
            return None
        return rows, scale

    def paired(self, target: Target) -> tuple[Array, Array, float] | None:
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

    def embeddings(self, target: Target) -> tuple[Array, Array] | None:
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
        value: Array,
        mask: npt.NDArray[np.bool_] | None,
        positions: int,
    ) -> Array:
        if target.convolution is None:
            transposed = target.transposed_input and self._observer.side(target) == "input"
            rows = linear_rows(value, transposed=transposed, mask=mask)
        elif self._observer.side(target) == "input":
            return convolution_rows(
                value, target.convolution, target.groups, positions, self._keys(target)
            )
        else:
            rows = channel_rows(value, target.groups, positions, self._keys(target))
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

    def _is_finite(self, signal: Array, target: Target) -> bool:
        """Tells whether a signal is finite, and the observer where it is not."""
        finite = _finite(signal)
        if not finite:
            self._observer.not_finite.setdefault(target.name, self.batch.where)
        return finite


def _finite(rows: Array) -> bool:
    """Tells whether squares of rows, which are what is summed, are finite in their precision."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(np.vdot(rows, rows)))
