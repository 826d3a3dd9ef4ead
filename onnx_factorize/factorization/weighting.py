"""A weighting: all that the rest of the program asks of one, in one object.

A weighting says how calibration data are run, and what is gathered of them; in which metric a
weight is decomposed; what a cut to each rank is predicted to lose; and what a report says of it.
Nothing else compares names of weightings, or asks what one needs.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from ..parallel import in_parallel
from ..passes import Target
from ..statistics.calibration_run import CalibrationRun, Gathered
from ..statistics.cross_validated import CrossValidated
from ..statistics.model_statistics import Statistics, TargetStatistics
from ..statistics.observer import Observer
from .losses import relative_losses
from .moment_shrinkage import MomentShrinkage
from .spectrum import Spectrum

__all__ = ["PredictedLosses", "Spectra", "Unit", "Weighting"]

# Losses in nats are of the divergence of the model and add up over targets; a relative one is a
# share of the target's own energy.
Unit = Literal["nats", "relative"]

Shrinkages = Mapping[str, MomentShrinkage]


@dataclasses.dataclass(frozen=True)
class PredictedLosses:
    """The losses that are predicted for cuts.

    Attributes:
        losses: Target name to the loss at every rank, shape (full rank + 1,), not increasing;
            targets without one stay dense, or are measured where they only lack a gradient.
        shrinkages: Target name to the shrinkage of the moments by which it is cut.
        cross_validated: What the data were run for; None where they were not.
    """

    losses: Mapping[str, npt.NDArray[np.float64]]
    shrinkages: Shrinkages = dataclasses.field(default_factory=dict)
    cross_validated: CrossValidated | None = None


class Weighting(abc.ABC):
    """One way to weigh the directions of a weight: a metric for changes of it.

    By default no data are run, and a loss is the share of the energy that a cut discards: then the
    spectrum is all that there is to say.

    Attributes:
        name: As `--weighting` names it.
        literature: What it is known as.
        unit: What its losses are in.
        instead: How targets are weighted that have no gradient, to complete a report's "are
            weighted …".
        beside: Names of weightings whose directions are tried beside its own: all that they need
            is gathered.
    """

    name: ClassVar[str]
    literature: ClassVar[str]
    unit: ClassVar[Unit] = "relative"
    instead: ClassVar[str] = "by activation with a measured scale"
    beside: ClassVar[tuple[str, ...]] = ()

    def covers(self, target: Target) -> bool:  # noqa: ARG002 - for those that override it
        """Tells whether an unfolding of an operator can be weighted so."""
        return True

    @property
    def looks(self) -> bool:
        """Tells whether data are run to gather anything."""
        return type(self).gather is not Weighting.gather

    def gather(self, run: CalibrationRun) -> Gathered:  # noqa: ARG002 - likewise
        """Observes what the weighting needs to know of the data."""
        return Gathered([Statistics()])

    def observer(self, run: CalibrationRun) -> Observer | None:  # noqa: ARG002 - likewise
        """What observes the targets further, where `gather` was done before."""
        return None

    @abc.abstractmethod
    def spectrum(
        self,
        target: Target,
        statistics: TargetStatistics | None,
        shrinkage: MomentShrinkage | None = None,
    ) -> Spectrum:
        """Whitens the target's weight and decomposes it.

        Args:
            target: The target.
            statistics: What was gathered of it; None where nothing was.
            shrinkage: How to shrink moments; by default as little as their noise demands.
        """

    def losses(self, run: CalibrationRun, gathered: Gathered, spectra: Spectra) -> PredictedLosses:
        """Predicts what cuts lose, of the targets that the data reached.

        Args:
            run: The model and the data.
            gathered: What `gather` found, or that of a weighting which has this one beside it.
            spectra: Where spectra are made, so that they need not be made again.
        """
        ran = [target for target in run.targets if gathered.ran(target)]
        found = {}
        with run.progress.stage("decompose", len(run.targets)) as advance:
            for target, spectrum in zip(ran, spectra.each(ran, self), strict=True):
                found[target.name] = relative_losses(spectrum)
                advance(1)
            advance(len(run.targets) - len(ran))
        return PredictedLosses(found)

    def closed_form(
        self,
        run: CalibrationRun,  # noqa: ARG002 - for those that override it
        gathered: Gathered,  # noqa: ARG002 - likewise
        spectra: Spectra,  # noqa: ARG002 - likewise
    ) -> PredictedLosses | None:
        """Predicts losses without running any data; None where `losses` is all that there is.

        It errs in other ways than what is cross-validated: a plan by it is worth a measurement.
        """
        return None


class Spectra:
    """The spectra that some statistics give, each made once.

    Attributes:
        statistics: Target name to what calibration found.
    """

    def __init__(self, statistics: Mapping[str, TargetStatistics]) -> None:
        """Begins with none.

        Args:
            statistics: Target name to what calibration found.
        """
        self.statistics = statistics
        self._known: dict[tuple[str, str, MomentShrinkage | None], Spectrum] = {}

    def of(
        self, target: Target, weighting: Weighting, shrinkage: MomentShrinkage | None = None
    ) -> Spectrum:
        """The spectrum of one target."""
        key = target.name, weighting.name, shrinkage
        if key not in self._known:
            found = self.statistics.get(target.name)
            self._known[key] = weighting.spectrum(target, found, shrinkage)
        return self._known[key]

    def each(
        self, targets: Sequence[Target], weighting: Weighting, shrinkages: Shrinkages | None = None
    ) -> Iterator[Spectrum]:
        """Yields the spectrum of each target, in order, made in parallel."""
        chosen = shrinkages or {}
        return in_parallel(lambda t: self.of(t, weighting, chosen.get(t.name)), targets)
