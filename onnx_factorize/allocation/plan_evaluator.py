"""Measure plans on calibration samples that had no part in the directions.

A fold is measured with the factors that the other folds give, so the divergence is that of unseen
data, and the samples kept for the final verification stay unseen.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from ..calibration import Batch, CalibrationData
from ..calibration.folds import some_of
from ..evaluation import Divergences, evaluate
from ..factorization.rewriting import rewritten
from ..factorization.spectrum import Spectrum
from ..factorization.weighting import Metric, Weighting
from ..outputs import OutputDistribution
from ..parallel import in_parallel
from ..passes import Target
from ..runtime.session import Runtime, Session
from ..statistics.model_statistics import Statistics, TargetStatistics

__all__ = ["Trial"]

# Folds that are measured, and samples of each: enough to tell plans apart that differ. Where the
# model is cheap, more of them tell plans apart that differ less.
_FOLDS = 2
_SAMPLES = 32
_MOST_SAMPLES = 256
_MACS = 2**30

# What to expect of the plan that is taken is measured on all folds, and on more samples of each:
# the divergence of most models is that of their few worst samples.
_MORE_SAMPLES = 2

# Memory for the dense model's outputs.
_RECORDED_BYTES = 2**28

# By target, weighting and metric.
_Spectra = dict[tuple[str, str, Metric | None], Spectrum]


@dataclasses.dataclass(frozen=True)
class _Fold:
    """One fold: its samples with the dense model's outputs, and the statistics of the others."""

    batches: list[Batch]
    outputs: list[dict[str, npt.NDArray[Any]]]
    statistics: Statistics


class Trial:
    """Plans measured by cross-fitting.

    Attributes:
        normal: The normalised model.
        runtime: How models are run.
        data: The calibration data.
        folds: The fold of each calibration sample, shape (samples,).
        ease: How many times as much may be measured as of a model that takes its time.
        measurements: How many plans were measured.
    """

    def __init__(
        self,
        normal: ir.Model,
        targets: Sequence[Target],
        outputs: Mapping[str, OutputDistribution],
        data: CalibrationData,
        folds: npt.NDArray[np.int64],
        parts: Sequence[Statistics],
        runtime: Runtime,
        macs: float = np.inf,
    ) -> None:
        """Runs the dense model on the samples to measure on.

        Args:
            normal: The normalised model; it is not changed.
            targets: Its targets.
            outputs: What each output stands for.
            data: The calibration data.
            folds: The fold of each calibration sample, shape (samples,).
            parts: The statistics of each fold.
            runtime: How to run the models.
            macs: Multiplications of the dense model for one sample.
        """
        self.normal, self.runtime, self._targets = normal, runtime, targets
        self.data, self.folds = data, folds
        self._parts = parts
        self._outputs = outputs
        self._folds = []
        self._spectra: list[_Spectra] = []
        self.measurements = 0
        dense = runtime.session(normal, list(outputs))
        samples = int(np.clip(_MACS // max(macs, 1.0), _SAMPLES, _MOST_SAMPLES))
        self._samples, self.ease = samples, samples // _SAMPLES
        for fold in range(min(_FOLDS, len(parts))):
            batches, answers, size = [], [], 0
            for batch in data.batches("calibration", only=some_of(fold, folds, samples)):
                batches.append(batch)
                answers.append(dense.run(batch.feeds, batch.origin))
                size += sum(value.nbytes for value in answers[-1].values())
                if size > _RECORDED_BYTES:
                    break
            self._folds.append(_Fold(batches, answers, self._others(fold)))
            self._spectra.append({})

    @property
    def parts(self) -> int:
        """The number of folds."""
        return len(self._parts)

    def measure(
        self,
        ranks: Mapping[str, int],
        weighting: Weighting,
        metrics: Mapping[str, Metric],
    ) -> float:
        """The divergence of a plan, in nats; infinite if its outputs are not finite.

        Args:
            ranks: Target name to rank; 0 keeps a target dense.
            weighting: The weighting that gives the directions.
            metrics: Target name to the metric of its directions.
        """
        self.measurements += 1
        found = Divergences(self._outputs)
        for fold, known in zip(self._folds, self._spectra, strict=True):
            model = self._rewritten(fold.statistics, known, ranks, weighting, metrics)
            self._add(fold, model, found)
        return found.value

    def expect(
        self,
        ranks: Mapping[str, int],
        weighting: Weighting,
        metrics: Mapping[str, Metric],
        advance: Callable[[int], None] = lambda _: None,
    ) -> float:
        """The divergence to expect of a plan: as `measure` does, on all folds.

        Args:
            ranks: Target name to rank; 0 keeps a target dense.
            weighting: The weighting that gives the directions.
            metrics: Target name to the metric of its directions.
            advance: Called with 1 after each fold.
        """
        found, names = Divergences(self._outputs), list(self._outputs)
        dense = self.runtime.session(self.normal, names)
        for fold in range(self.parts):
            if fold < len(self._folds):
                statistics, known = self._folds[fold].statistics, self._spectra[fold]
            else:
                statistics, known = self._others(fold), {}
            model = self._rewritten(statistics, known, ranks, weighting, metrics)
            compressed = self.runtime.session(model, names)
            only = some_of(fold, self.folds, _MORE_SAMPLES * self._samples)
            evaluate(
                self.data.batches("calibration", only=only),
                lambda batch: dense.run(batch.feeds, batch.origin),
                _runner(compressed),
                found,
            )
            advance(1)
        return found.value

    def divergence(self, model: ir.Model, folds: Sequence[int]) -> float:
        """The divergence of a compressed model on the samples of some folds."""
        found = Divergences(self._outputs)
        for fold in folds:
            self._add(self._folds[fold], model, found)
        return found.value

    def _add(self, fold: _Fold, model: ir.Model, found: Divergences) -> None:
        """Runs a model on the samples of a fold."""
        recorded = iter(fold.outputs)
        compressed = _runner(self.runtime.session(model, list(self._outputs)))
        evaluate(fold.batches, lambda _: next(recorded), compressed, found)

    def _others(self, fold: int) -> Statistics:
        """What all folds but one found."""
        others = [part for number, part in enumerate(self._parts) if number != fold]
        first, *rest = others or self._parts
        return first.merge(*rest)

    def _rewritten(
        self,
        statistics: Mapping[str, TargetStatistics],
        known: _Spectra,
        ranks: Mapping[str, int],
        weighting: Weighting,
        metrics: Mapping[str, Metric],
    ) -> ir.Model:
        """The model that a plan makes of some statistics; new spectra are added to `known`."""
        cut = [target for target in self._targets if ranks.get(target.name)]
        # What they do not know, for it never ran, cannot be tried.
        ran = [t for t in cut if t.name in statistics and statistics[t.name].ran]
        keys = {t.name: (t.name, weighting.name, metrics.get(t.name)) for t in ran}
        new = [t for t in ran if keys[t.name] not in known]

        def spectrum(target: Target) -> Spectrum:
            return weighting.spectrum(target, statistics[target.name], metrics.get(target.name))

        for target, made in zip(new, in_parallel(spectrum, new), strict=True):
            known[keys[target.name]] = made
        spectra = {t.name: known[keys[t.name]] for t in ran}
        chosen = {name: ranks[name] for name in spectra}
        return rewritten(self.normal, cut, chosen, spectra, statistics)


def _runner(session: Session) -> Callable[[Batch], dict[str, npt.NDArray[Any]]]:
    return lambda batch: session.run(batch.feeds, batch.origin)
