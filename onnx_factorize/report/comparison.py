"""`compare`: models with the same inputs and outputs, side by side."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import onnx_ir as ir

from ..allocation.costs import Figures, measure_costs
from ..calibration import Calibration, Signature, open_calibration
from ..errors import InputError
from ..evaluation import Agreement, compare_outputs
from ..evaluation.state import find_state
from ..evaluation.stream import Stream, along_stream
from ..files import model_io
from ..options import ImageOptions, MaskMeaning, Selection, StateOption
from ..outputs import SURVEYED, output_kinds, survey
from ..outputs.selection import Selected, selected
from ..passes import Kind
from ..progress import Progress
from ..runtime.interleaved import Ratio, latencies
from ..runtime.randomness import Randomness, randomness_of
from ..runtime.runtimes.onnx_runtime import OnnxRuntime
from ..runtime.session import Runtime

__all__ = ["Comparison", "compare", "compare_several"]


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What `compare` finds.

    Attributes:
        dense: What the first model costs.
        compressed: What the second model costs.
        agreement: How their outputs compare, over all samples.
        time: The latency of the second as a share of that of the first.
        stream: How the second does along the data with its own states; None without.
        selected: Outputs that are what a selection chose; None where there are none.
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


def compare(
    dense: model_io.Model,
    compressed: model_io.Model,
    calibration: Calibration,
    *,
    selection: Selection | None = None,
    images: ImageOptions | None = None,
    runtime: Runtime | None = None,
    outputs: Mapping[str, Kind] | None = None,
    batch_axis: Mapping[str, int | None] | None = None,
    mask: Mapping[str, MaskMeaning] | None = None,
    state: StateOption = None,
    progress: Progress | None = None,
) -> Comparison:
    """Compares two models on all samples of the data, none of which is set apart.

    Args:
        dense: The model to compare with.
        compressed: The model to judge.
        calibration: Data in any form that `factorize` takes.
        selection: Which samples to use; its `holdout` does not matter.
        images: How image files become arrays.
        runtime: What runs models, and how.
        outputs: What outputs stand for, where recognition is wrong.
        batch_axis: Where samples are in the inputs, where what is found is wrong: see `Options`.
        mask: What masks mean, likewise.
        state: Input to the output that is its next value, where the model is a stream.
        progress: What is told how far the run is.

    Raises:
        InputError: A model or the data cannot be used, or the models do not match.
    """
    return compare_several(
        dense,
        [compressed],
        calibration,
        selection=selection,
        images=images,
        runtime=runtime,
        outputs=outputs,
        batch_axis=batch_axis,
        mask=mask,
        state=state,
        progress=progress,
    )[0]


def compare_several(
    dense: model_io.Model,
    others: Sequence[model_io.Model],
    calibration: Calibration,
    *,
    selection: Selection | None = None,
    images: ImageOptions | None = None,
    runtime: Runtime | None = None,
    outputs: Mapping[str, Kind] | None = None,
    batch_axis: Mapping[str, int | None] | None = None,
    mask: Mapping[str, MaskMeaning] | None = None,
    state: StateOption = None,
    progress: Progress | None = None,
) -> list[Comparison]:
    """Compares several models with a dense one, all of them timed in turns: see `compare`."""
    progress = progress or Progress()
    runtime = runtime or OnnxRuntime()
    selection = dataclasses.replace(selection or Selection(), holdout=0.0)
    sources = [dense, *others]
    models = [model_io.load(source) for source in sources]
    if any(_interface(model) != _interface(models[0]) for model in models[1:]):
        raise InputError(
            "The models do not have the same inputs and outputs, so they cannot be compared."
        )
    data = open_calibration(
        calibration,
        Signature.of(models[0]),
        selection,
        images,
        run=runtime.session(models[0]).run,
        batch_axis=batch_axis,
        mask=mask,
    )
    sample = data.typical("calibration")
    kinds = output_kinds(models[0], outputs or {})
    counted = [name for name, kind in kinds.items() if kind.kind != "ignore"]
    with progress.stage("survey", min(SURVEYED, data.calibration_samples)) as advance:
        first = runtime.session(models[0], counted)
        found = survey(first, kinds, data, advance=advance).outputs
    steps = data.calibration_samples * len(others)
    with progress.stage("compare", steps) as advance:
        carried, _ = find_state(models[0], data, state, runtime)
        watched = list(dict.fromkeys([*found, *(carried.pairs.values() if carried else ())]))
        first, *rest = sessions = [runtime.session(model, watched) for model in models]
        agreements = [
            compare_outputs(first, session, found, data, "calibration", advance=advance)
            for session in rest
        ]
        streams = [
            along_stream(first, session, found, data, carried) if carried else None
            for session in rest
        ]
    random, chosen = randomness_of(first), selected(models[0], kinds)
    with progress.stage("time"):
        timing = latencies(sessions, sample.feeds, samples=sample.samples)
        figures = [
            measure_costs(model, sample, runtime, source).figures(time)
            for model, source, time in zip(models, sources, timing.medians, strict=True)
        ]
    return [
        Comparison(
            figures[0], own, agreement, timing.ratio(index), random, data.as_dict(), stream, chosen
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
