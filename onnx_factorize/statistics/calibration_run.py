"""The calibration of one model: what is observed, on which data, and what that showed."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from ..arrays import Array
from ..calibration import CalibrationData
from ..options import NORMAL, Effort
from ..outputs import Survey
from ..passes import Side, Target
from ..progress import Progress
from ..runtime.session import Runtime
from .channel_moments import InputMoments
from .cross_validated import CrossValidated
from .model_statistics import Statistics
from .observation import Observation
from .observer import Observer
from .sampling import DRAWN, Sampling

__all__ = ["CalibrationRun", "Companion", "Gathered"]


class Companion(Protocol):
    """Works out something else from the same runs of the model, which cost more than it does."""

    @property
    def readers(self) -> Sequence[Target]:
        """Targets whose inputs are observed besides."""

    @property
    def moments(self) -> Sequence[InputMoments]:
        """The moments of these inputs, fold by fold, once all batches were gathered."""

    @property
    def together(self) -> Sequence[Collection[str]]:
        """Names of readers of which it judges all at the same time."""

    def gather(self, fold: int, seen: Observation) -> None:
        """Looks at a batch of which statistics are gathered.

        Args:
            fold: The fold that its samples belong to.
            seen: The batch, at the inputs of the readers.
        """

    def begin(self, fold: int) -> None:
        """Prepares for the cross-validation of a fold."""

    def judge(self, seen: Observation) -> None:
        """Looks at a batch of that fold, with gradients, at the inputs of some readers."""

    @property
    def names(self) -> Sequence[str]:
        """Names of what is judged."""

    @property
    def judged(self) -> Mapping[str, tuple[int, Array]]:
        """By name the samples that judged, and their sums."""

    def take(self, judged: Mapping[str, tuple[int, Array]]) -> None:
        """Takes what was judged before."""


@dataclasses.dataclass(frozen=True)
class CalibrationRun:
    """A model, what to observe of it, and the data to observe it on.

    Attributes:
        normal: The normalised model; ranks that inference does not find are noted on its values.
        targets: The targets to observe, each unfolding a target of its own.
        data: The calibration data.
        surveyed: What the dense model makes of them.
        runtime: How the model is run.
        sampling: The labels that gradients are taken at, and the places that are looked at.
        progress: What is told how far the run is.
        effort: What may be computed besides.
        companion: What else sees what the model is run for.
        only: The calibration samples of which statistics are gathered, shape (samples,), where
            others are gathered elsewhere; None for all.
        block: Bytes of weights of a block, where statistics are gathered block by block.
    """

    normal: ir.Model
    targets: Sequence[Target]
    data: CalibrationData
    surveyed: Survey
    runtime: Runtime
    sampling: Sampling = DRAWN
    progress: Progress = dataclasses.field(default_factory=Progress)
    effort: Effort = NORMAL
    companion: Companion | None = None
    only: npt.NDArray[np.bool_] | None = None
    block: float | None = None

    @property
    def gathered_samples(self) -> int:
        """The number of samples of which statistics are gathered."""
        return self.data.calibration_samples if self.only is None else int(self.only.sum())

    def of(self, targets: Sequence[Target]) -> CalibrationRun:
        """The same of other targets."""
        return dataclasses.replace(self, targets=targets)

    def observer(
        self, *, gradients: bool, side: Side = "narrow", blockwise: bool = False
    ) -> Observer:
        """The model, observed at the targets.

        Args:
            gradients: Whether gradients are observed too.
            side: Where signals are observed.
            blockwise: Whether block by block, where the run asks for that.
        """
        return Observer(
            self.normal,
            self.targets,
            self.runtime,
            self.surveyed.outputs if gradients else None,
            self.sampling,
            side=side,
            shapes=self.surveyed.shapes,
            inputs=() if self.companion is None else self.companion.readers,
            segment=self.block if blockwise else None,
        )


@dataclasses.dataclass(frozen=True)
class Gathered:
    """The statistics that the data gave.

    Attributes:
        parts: The statistics of each fold of the data; one without targets if nothing was needed.
        observer: What observed the targets; None if nothing did.
        unreachable: Target name to the reason why it has no gradient, though one was wanted.
        not_finite: Target name to where its activations are not finite, so that it stays dense.
        inputs: What a companion gathered beside: the moments of inputs, fold by fold.
        cross_validated: The losses that they were found to give before; None for none.
    """

    parts: Sequence[Statistics]
    observer: Observer | None = None
    unreachable: Mapping[str, str] = dataclasses.field(default_factory=dict)
    not_finite: Mapping[str, str] = dataclasses.field(default_factory=dict)
    inputs: Sequence[InputMoments] = ()
    cross_validated: CrossValidated | None = None

    @functools.cached_property
    def statistics(self) -> Statistics:
        """The statistics of all data."""
        first, *others = [part for part in self.parts if part.ran] or self.parts[:1]
        return first.merge(*others) if others else first

    def leave_out(self) -> None:
        """Leaves out what the observer has found not to be finite since it was gathered."""
        assert self.observer is not None
        for statistics in (*self.parts, self.statistics):
            statistics.leave_out(self.observer)

    def ran(self, target: Target) -> bool:
        """Tells whether the data reached a target, if that was looked at."""
        found = self.statistics.get(target.name)
        return found is None or found.ran
