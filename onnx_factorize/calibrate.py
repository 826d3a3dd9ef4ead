"""Run the calibration data through the model and gather moments, in memory that does not grow."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from .calibration import Batch, CalibrationData
from .errors import InputError
from .moments import GradientMoments, Moments
from .passes import Differentiate, Observe, OutputSeed, Target
from .rows import channel_rows, convolution_rows, linear_rows, padding_mask
from .session import Runtime, Session

__all__ = ["Gradients", "Statistics", "gather_statistics"]

Array = npt.NDArray[Any]

# Rows wanted for each dimension of a moment: with ten, a moment is as good as with all.
_ROWS_A_DIMENSION = 20


@dataclasses.dataclass(frozen=True)
class Gradients:
    """That gradients are wanted too, and how.

    Attributes:
        seeds: Output name to how the gradient is seeded there.
        draws: Labels to draw for each sample.
    """

    seeds: Mapping[str, OutputSeed]
    draws: int = 1


@dataclasses.dataclass
class Statistics:
    """What the calibration data tell of one target, on its narrow side.

    Attributes:
        signal: Moments of x, or of y = x W. Targets that read the same value share them.
        gradient: Moments of W g, or of g; None if not gathered.
        unreachable: Why there are no gradients, if they were wanted.
    """

    signal: Moments
    gradient: GradientMoments | None = None
    unreachable: str | None = None


def gather_statistics(
    model: ir.Model,
    targets: Sequence[Target],
    data: CalibrationData,
    runtime: Runtime,
    seed: int = 0,
    gradients: Gradients | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> dict[str, Statistics]:
    """Gathers the moments of each target.

    Args:
        model: The normalised model; it is not changed.
        targets: The targets to observe.
        data: The calibration data.
        runtime: How to run the model.
        seed: Seed of the choice of positions and of the labels.
        gradients: What gradients to gather, if any.
        advance: Called after each batch with its number of samples.

    Returns:
        Target name to statistics; a target in a branch that never ran has a signal of no rows.

    Raises:
        InputError: An activation or a gradient is not finite.
    """
    gatherer = _Gatherer(model, targets, data, runtime, seed, gradients)
    for batch in data.batches("calibration"):
        for draw in range(gradients.draws if gradients is not None else 1):
            gatherer.run(batch, with_signal=draw == 0)
        advance(batch.samples)
    return gatherer.statistics


class _Gatherer:
    """The session that computes what is observed, and the sums so far."""

    def __init__(
        self,
        model: ir.Model,
        targets: Sequence[Target],
        data: CalibrationData,
        runtime: Runtime,
        seed: int,
        gradients: Gradients | None,
    ) -> None:
        observed = model.clone()
        observe = Observe([target.name for target in targets])
        observe(observed)
        self._taps = observe.taps
        self._gradients: dict[str, str] = {}
        unreachable: dict[str, str] = {}
        if gradients is not None:
            differentiate = Differentiate([t.name for t in targets], gradients.seeds, seed)
            differentiate(observed)
            self._gradients, unreachable = differentiate.gradients, differentiate.unreachable
        self._targets = targets
        self._samples = data.calibration_samples
        self._rng = np.random.default_rng(seed)
        outputs = sorted({*self._taps.values(), *self._gradients.values()})
        self._session = Session(observed, runtime, outputs)
        self._signals: dict[tuple[Any, ...], Moments] = {}
        self._weights: dict[str, Array] = {}
        self.statistics: dict[str, Statistics] = {}
        for target in targets:
            gradient = None
            if target.name in self._gradients:
                gradient = GradientMoments.empty(target.groups, target.width)
                if target.side == "input":
                    self._weights[target.name] = target.matrices().astype(np.float32)
            signal = self._signals.setdefault(
                self._cut(target), Moments.empty(target.groups, target.width)
            )
            reason = unreachable.get(target.name)
            self.statistics[target.name] = Statistics(signal, gradient, reason)

    def run(self, batch: Batch, *, with_signal: bool) -> None:
        """Adds one batch."""
        values = self._session.run(batch.feeds, batch.origin)
        mask = padding_mask(batch.feeds)
        if with_signal:
            done = set()
            for target in self._targets:
                cut = self._cut(target)
                if cut not in done:
                    done.add(cut)
                    self._add_signal(self._signals[cut], target, values[cut[0]], mask)
        for target in self._targets:
            gradient = self.statistics[target.name].gradient
            if gradient is not None:
                value = values[self._gradients[target.name]]
                self._add_gradient(gradient, target, value, batch.samples)
        for name, statistics in self.statistics.items():
            moments = statistics.gradient
            if not np.isfinite(statistics.signal.mean).all() or not (
                moments is None or np.isfinite(np.trace(moments.total, axis1=1, axis2=2)).all()
            ):
                raise InputError(
                    f"What '{name}' computes, or its gradient, is not finite on {batch.origin}."
                )

    def _cut(self, target: Target) -> tuple[Any, ...]:
        """What tells signals apart: the value, and how a target cuts it into rows."""
        tap = self._taps[target.name]
        if target.side == "output":
            return (tap, target.name)
        return (tap, target.convolution, target.groups, target.transposed_input)

    def _positions(self, target: Target) -> int:
        """Positions of an image to sample."""
        return max(16, math.ceil(_ROWS_A_DIMENSION * target.width / self._samples))

    def _add_signal(
        self,
        moments: Moments,
        target: Target,
        value: Array,
        mask: npt.NDArray[np.bool_] | None,
    ) -> None:
        """Adds the rows of one value, unless the branch that computes it did not run."""
        if not value.size:
            return
        if target.convolution is None:
            transposed = target.transposed_input and target.side == "input"
            rows = linear_rows(value, transposed=transposed, mask=mask)
        elif target.side == "input":
            rows = convolution_rows(
                value, target.convolution, target.groups, self._positions(target), self._rng
            )
        else:
            rows = channel_rows(value, target.groups, self._positions(target), self._rng)
        moments.add(Moments.of(rows))

    def _add_gradient(
        self, moments: GradientMoments, target: Target, value: Array, samples: int
    ) -> None:
        if not value.size:
            return
        scale = 1.0
        if target.convolution is None:
            rows = linear_rows(value)
        else:
            rows = channel_rows(value, target.groups, self._positions(target), self._rng)
            scale = value.size / rows.size
        if target.side == "input":
            rows = rows @ self._weights[target.name].transpose(0, 2, 1)
        moments.add(rows, samples, scale)
