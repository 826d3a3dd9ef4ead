"""Calibration by itself: statistics for later runs, of all samples or of a part of them."""

from __future__ import annotations

import dataclasses
import os
from concurrent.futures import Executor

from .calibration import Calibration
from .files import model_io
from .options import Options
from .prepared import prepare
from .progress import Progress
from .shards import WHOLE, Shard, gathered_part, shared_by
from .statistics.part import Part
from .statistics.statistics_file import load
from .workers.rounds import hired
from .workers.shared_out import SharedOut

__all__ = ["calibrate_part", "survey_alone"]


def calibrate_part(
    source: model_io.Model,
    calibration: Calibration,
    options: Options,
    progress: Progress,
    shard: Shard = WHOLE,
    survey: str | os.PathLike[str] | None = None,
    executor: Executor | None = None,
) -> Part:
    """Gathers the statistics of one part of the samples.

    Args:
        source: The model.
        calibration: The calibration data.
        options: All options; what statistics do not depend on may differ from those of later runs.
        progress: What is told how far the run is.
        shard: Which samples.
        survey: A file that says what all parts share; None to find that out from all data.
        executor: What runs workers among whom the part is shared out; None for processes of its
            own, if the options ask for any.
    """
    with hired(executor, options) as workers:
        shared = None if survey is None else load(survey).shared
        prepared = prepare(source, calibration, options, progress, shared, str(survey))
        shared = shared or shared_by(prepared, options)
        if workers is None:
            return gathered_part(prepared.run, prepared.macs, options, shared, shard)
        only = shard.of(prepared.run.data) if shard.count > 1 else None
        part = SharedOut(prepared, options, workers).part(shared, only)
        return dataclasses.replace(part, count=shard.count, numbers=(shard.number,))


def survey_alone(
    source: model_io.Model, calibration: Calibration, options: Options, progress: Progress
) -> Part:
    """Finds out what all parts share, and gathers nothing."""
    return Part(shared_by(prepare(source, calibration, options, progress), options))
