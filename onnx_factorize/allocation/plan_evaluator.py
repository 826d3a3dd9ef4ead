"""Measure plans on calibration samples that had no part in the directions.

A fold is measured with the factors that the other folds give, so the divergence is that of unseen
data, and the samples kept for the final verification stay unseen.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ..arrays import NamedArrays
from ..calibration import Batch
from ..calibration.folds import some_of
from ..evaluation import Divergences, Recorded, evaluate
from ..factorization.moment_shrinkage import MomentShrinkage
from ..factorization.narrowing.channel_cuts import ChannelCuts
from ..factorization.rewriting import factors_by_name
from ..factorization.weighting import Spectra, Weighting
from ..passes import Factors
from ..runtime.session import Session
from ..statistics.calibration_run import CalibrationRun
from ..statistics.model_statistics import Statistics
from .channels import Channels
from .standing_model import StandingModel

__all__ = ["PlanEvaluator"]

# Samples of each fold that is measured: enough to tell plans apart that differ. Where the
# model is cheap, more of them tell plans apart that differ less.
_SAMPLES = 32
_MOST_SAMPLES = 256
_MACS = 2**30


@dataclasses.dataclass(frozen=True)
class _Fold:
    """One fold: its samples with the dense model's outputs, and what the others give."""

    recorded: Recorded
    spectra: Spectra
    cuts: ChannelCuts | None


class PlanEvaluator:
    """Plans measured by cross-fitting.

    Attributes:
        normal: The normalised model.
        runtime: How models are run.
        data: The calibration data.
        folds: The fold of each calibration sample, shape (samples,).
        ease: How many times as much may be measured as of a model that takes its time.
        samples: Samples of each fold on which plans are compared, at most.
        effort: What bounds the work.
        measurements: How many plans were measured.
    """

    def __init__(
        self,
        run: CalibrationRun,
        parts: Sequence[Statistics],
        macs: float = np.inf,
        channels: Channels | None = None,
        known: Spectra | None = None,
    ) -> None:
        """Runs the dense model on the samples to measure on.

        Args:
            run: The model and the data; the model is not changed.
            parts: The statistics of each fold.
            macs: Multiplications of the dense model for one sample.
            channels: The channels that may be narrowed.
            known: Spectra that were made already.
        """
        self._known = known
        self._channels = channels or Channels()
        self.normal, self.runtime, self._targets = run.normal, run.runtime, run.targets
        self.data, self.folds = run.data, run.surveyed.folds
        self._parts = parts
        self._outputs = run.surveyed.outputs
        self._folds = []
        self.measurements = 0
        self._standing = StandingModel(self.normal, list(self._outputs), self.runtime)
        dense = self._standing.dense
        samples = int(np.clip(_MACS // max(macs, 1.0), _SAMPLES, _MOST_SAMPLES))
        self.ease, self.effort = samples // _SAMPLES, run.effort
        self.samples = samples = min(samples, self.effort.measured)
        for fold in range(min(self.effort.compared, len(parts))):
            batches = self.data.micro_batches("calibration", some_of(fold, self.folds, samples))
            recorded = Recorded.of(dense, batches, self.data.memory.answers)
            self._folds.append(_Fold(recorded, *self._others(fold)))

    def release(self) -> None:
        """Lets go of what the runtime holds of the dense model, whose answers are kept."""
        self._standing.dense.release()

    @property
    def measured_folds(self) -> int:
        """The number of folds on which plans are compared."""
        return len(self._folds)

    @property
    def predicted_folds(self) -> int:
        """The number of folds on which the plan that is taken is measured in the end."""
        return min(len(self._parts), len(self._folds) + self.effort.predicted)

    def measure(
        self,
        ranks: Mapping[str, int],
        weighting: Weighting,
        shrinkages: Mapping[str, MomentShrinkage],
        most: float = np.inf,
    ) -> float:
        """The divergence of a plan, in nats; infinite if its outputs are not finite.

        Args:
            ranks: Target name to rank; 0 keeps a target dense.
            weighting: The weighting that gives the directions.
            shrinkages: Target name to the shrinkage of the moments of its directions.
            most: A plan that diverges by more is not measured on further folds.
        """
        self.measurements += 1
        found = Divergences(self._outputs)
        for fold in self._folds:
            if found.samples and found.value > most:
                break
            factors = self._factors((fold.spectra, fold.cuts), ranks, weighting, shrinkages)
            self._add(fold, factors, found)
        return found.value

    def expect(
        self,
        ranks: Mapping[str, int],
        weighting: Weighting,
        shrinkages: Mapping[str, MomentShrinkage],
        advance: Callable[[int], None] = lambda _: None,
    ) -> float:
        """The divergence to expect of a plan: as `measure` does, on more folds.

        Args:
            ranks: Target name to rank; 0 keeps a target dense.
            weighting: The weighting that gives the directions.
            shrinkages: Target name to the shrinkage of the moments of its directions.
            advance: Called with 1 after each fold.
        """
        found, dense = Divergences(self._outputs), self._standing.dense
        for fold in range(self.predicted_folds):
            kept = self._folds[fold] if fold < len(self._folds) else None
            others = self._others(fold) if kept is None else (kept.spectra, kept.cuts)
            factors = self._factors(others, ranks, weighting, shrinkages)
            if kept is not None and not self.effort.thorough:
                self._add(kept, factors, found)
            else:
                # The divergence of most models is that of their few worst samples.
                most = self.samples * (2 if self.effort.thorough else 1)
                evaluate(
                    self.data.micro_batches("calibration", some_of(fold, self.folds, most)),
                    lambda batch: dense.run(batch.feeds, batch.origin),
                    _runner(self._standing.session(factors)),
                    found,
                )
            advance(1)
        return found.value

    def divergence(self, factors: Mapping[str, Factors], folds: Sequence[int]) -> float:
        """The divergence of a model with these factors on the samples of some folds."""
        found = Divergences(self._outputs)
        for fold in folds:
            self._add(self._folds[fold], factors, found)
        return found.value

    def _add(self, fold: _Fold, factors: Mapping[str, Factors], found: Divergences) -> None:
        """Runs the model with some factors on the samples of a fold."""
        fold.recorded.compare(self._standing.session(factors), found)

    def _others(self, fold: int) -> tuple[Spectra, ChannelCuts | None]:
        """The spectra, and the cuts of channels, that all folds but one give."""
        others = [part for number, part in enumerate(self._parts) if number != fold]
        first, *rest = others or self._parts
        statistics = first.merge(*rest) if rest else first
        known = self._known is not None and self._known.statistics is statistics
        spectra = self._known if known and self._known else Spectra(statistics)
        return spectra, self._channels.cuts_of(fold)

    def _factors(
        self,
        others: tuple[Spectra, ChannelCuts | None],
        ranks: Mapping[str, int],
        weighting: Weighting,
        shrinkages: Mapping[str, MomentShrinkage],
    ) -> dict[str, Factors]:
        """The factors that a plan makes of some statistics."""
        spectra, cuts = others
        statistics = spectra.statistics
        cut = [target for target in self._targets if ranks.get(target.name)]
        # What they do not know, for it never ran, cannot be measured.
        ran = [t for t in cut if t.name in statistics and statistics[t.name].ran]
        made = zip(ran, spectra.each(ran, weighting, shrinkages), strict=True)
        chosen = {target.name: spectrum for target, spectrum in made}
        chosen_ranks = {name: ranks[name] for name in chosen}
        factors = factors_by_name(cut, chosen_ranks, chosen, statistics)
        return factors | self._channels.factors(ranks, cuts)


def _runner(session: Session) -> Callable[[Batch], NamedArrays]:
    return lambda batch: session.run(batch.feeds, batch.origin)
