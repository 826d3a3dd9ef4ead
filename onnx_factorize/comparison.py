"""`compare`: two models with the same inputs and outputs, side by side."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from . import model_io
from .calibration import Calibration, ImageOptions, Selection, Signature, open_calibration
from .costs import measure_costs
from .errors import InputError
from .passes import Kind
from .progress import Progress
from .report import Figures
from .session import Runtime, Session, latencies
from .verify import Agreement, compare_outputs, output_kinds

__all__ = ["Comparison", "compare"]


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What `compare` finds.

    Attributes:
        dense: What the first model costs.
        compressed: What the second model costs.
        agreement: How their outputs compare, over all samples.
    """

    dense: Figures
    compressed: Figures
    agreement: Agreement

    def as_dict(self) -> dict[str, Any]:
        """The findings as plain data."""
        return {**dataclasses.asdict(self), "divergence": self.agreement.divergence}


def compare(
    dense: model_io.Model,
    compressed: model_io.Model,
    calibration: Calibration,
    *,
    selection: Selection | None = None,
    images: ImageOptions | None = None,
    runtime: Runtime | None = None,
    outputs: Mapping[str, Kind] | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Compares two models on all samples of the data, none of which is set apart.

    Args:
        dense: The model to compare with.
        compressed: The model to judge.
        calibration: Data in any form that `factorize` takes.
        selection: Which samples to use; its `holdout` does not matter.
        images: How image files become arrays.
        runtime: How onnxruntime runs.
        outputs: What outputs stand for, where recognition is wrong.
        progress: What is told how far the run is.

    Raises:
        InputError: A model or the data cannot be used, or the models do not match.
    """
    progress = progress or Progress()
    runtime = runtime or Runtime()
    selection = dataclasses.replace(selection or Selection(), holdout=0.0)
    models = [model_io.load(dense), model_io.load(compressed)]
    names = [
        (
            [value.name for value in model.graph.inputs if not value.is_initializer()],
            [value.name for value in model.graph.outputs],
        )
        for model in models
    ]
    if names[0] != names[1]:
        raise InputError(
            "The two models do not have the same inputs and outputs, so they cannot be compared."
        )
    data = open_calibration(calibration, Signature.of(models[0]), selection, images)
    sample = next(data.batches("calibration", batch_size=1))
    with progress.stage("compare", data.calibration_samples) as advance:
        pair = Session(models[0], runtime), Session(models[1], runtime)
        kinds = output_kinds(models[0], outputs or {})
        agreement = compare_outputs(*pair, kinds, data, "calibration", advance=advance)
    with progress.stage("time"):
        times = latencies(pair, sample.feeds)
        figures = [
            measure_costs(model, sample, runtime, source).figures(time)
            for model, source, time in zip(models, (dense, compressed), times, strict=True)
        ]
    return Comparison(figures[0], figures[1], agreement)
