"""`compare`: models with the same inputs and outputs, side by side."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import onnx_ir as ir

from ..allocation.model_costs import Figures, measure_costs
from ..calibration import Calibration
from ..errors import InputError
from ..evaluation import Agreement, compare_outputs
from ..evaluation.state import find_state
from ..evaluation.stream import Stream, along_stream
from ..files import model_io
from ..options import Options
from ..outputs import SURVEYED, counted, output_kinds, survey
from ..outputs.caches import Caches, uncounted
from ..outputs.selection import Selected, selected
from ..preparation.open_data import open_data
from ..progress import Progress
from ..runtime.footprint import footprint_of
from ..runtime.interleaved import Ratio, latencies
from ..runtime.randomness import Randomness, randomness_of
from ..runtime.runtimes import runtime_of

__all__ = ["Comparison", "compare_several"]


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The result of `compare`.

    Attributes:
        dense: What the first model costs.
        compressed: What the second model costs.
        agreement: How their outputs compare, over all samples.
        time: The latency of the second as a share of that of the first.
        stream: How the second does along the data with its own states; None without.
        selected: Outputs that are what a selection chose; None where there are none.
        caches: Outputs that only feed caches, and do not count; None where there are none.
        random: The random nodes of the first model; None where it has none.
        data: How the data were read: see `CalibrationData.as_dict`.
    """

    dense: Figures
    compressed: Figures
    agreement: Agreement
    time: Ratio
    random: Randomness | None = None
    data: dict[str, Any] = dataclasses.field(default_factory=dict)
    stream: Stream | None = None
    selected: Selected | None = None
    caches: Caches | None = None

    def as_dict(self) -> dict[str, Any]:
        """The findings as plain data."""
        found = dataclasses.asdict(self)
        del found["agreement"]["by_sample"]  # an array as long as the data
        found["stream"] = None if self.stream is None else self.stream.as_dict()
        del found["time"]
        return found | {
            "divergence": self.agreement.divergence,
            "timing": self.time.as_dict(),
        }


def compare_several(
    dense: model_io.Model,
    others: Sequence[model_io.Model],
    calibration: Calibration,
    options: Options,
    progress: Progress,
) -> list[Comparison]:
    """Compares models with a dense one, all of them timed in turns.

    Args:
        dense: The model to compare with.
        others: The models to judge, on all samples of the data, none of which is set apart.
        calibration: Data in any form that `factorize` takes.
        options: Which samples to use, how images become arrays, how onnxruntime runs, and what is
            said of inputs and outputs; all else does not matter.
        progress: What is told how far the run is.

    Raises:
        InputError: A model or the data cannot be used, or the models do not match.
    """
    runtime = runtime_of(options.runtime)  # refuses what is not here, before data are read
    sources = [dense, *others]
    models = [model_io.load(source) for source in sources]
    if any(_interface(model) != _interface(models[0]) for model in models[1:]):
        raise InputError(
            "The models do not have the same inputs and outputs, so they cannot be compared."
        )
    whole = dataclasses.replace(options.selection, holdout=0.0)  # nothing is set apart
    data = open_data(calibration, models[0], dataclasses.replace(options, selection=whole))
    data = data.measured(footprint_of(models[0], data.typical("calibration").feeds, runtime))
    kinds = output_kinds(models[0], options.outputs)
    chosen, caches = selected(models[0], kinds), uncounted(models[0], kinds)
    with progress.stage("survey", min(SURVEYED, data.calibration_samples)) as advance:
        first = runtime.session(models[0], list(counted(kinds)))
        found = survey(first, kinds, data, advance=advance).outputs
    with progress.stage("compare", data.calibration_samples * len(others)) as advance:
        carried, _ = find_state(models[0], data, options.state, runtime)
        watched = list(dict.fromkeys([*found, *(carried.pairs.values() if carried else ())]))
        first, *rest = sessions = [runtime.deployed.session(model, watched) for model in models]
        agreements = [
            compare_outputs(first, session, found, data, "calibration", advance=advance)
            for session in rest
        ]
        streams = [
            along_stream(first, session, found, data, carried) if carried else None
            for session in rest
        ]
    random, sample = randomness_of(first), data.typical("calibration")
    with progress.stage("time"):
        timing = latencies(sessions, sample.feeds, samples=sample.samples)
        figures = [
            measure_costs(model, sample, runtime, source).figures(time)
            for model, source, time in zip(models, sources, timing.medians, strict=True)
        ]
    return [
        Comparison(
            figures[0],
            own,
            agreement,
            timing.ratio(index),
            random,
            data.as_dict(),
            stream,
            chosen,
            caches,
        )
        for index, (own, agreement, stream) in enumerate(
            zip(figures[1:], agreements, streams, strict=True), 1
        )
    ]


def _interface(model: ir.Model) -> tuple[list[str | None], list[str | None]]:
    """The names of what goes in and of what comes out."""
    return (
        [value.name for value in model.graph.inputs if not value.is_initializer()],
        [value.name for value in model.graph.outputs],
    )
