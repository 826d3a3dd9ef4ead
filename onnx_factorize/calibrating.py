"""Calibration by itself: statistics for later runs, of all samples or of a part of them."""

from __future__ import annotations

import dataclasses
import logging
import os
import pathlib
from concurrent.futures import Executor

from .calibration import Calibration
from .errors import InputError
from .files import model_io
from .fingerprint import fingerprint_of
from .options import Options
from .preparation.open_data import open_data
from .prepared import prepare
from .progress import Progress
from .shards import WHOLE, Shard, gathered_part, shared_by
from .statistics.part import Part
from .statistics.statistics_file import load, save
from .workers.rounds import hired
from .workers.shared_out import SharedOut

__all__ = ["calibrate_part", "calibrate_to", "survey_alone"]

_LOGGER = logging.getLogger("onnx_factorize")


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
        shared_out = SharedOut(prepared, options, workers)
        part = shared_out.part(shared, only)
        for note in shared_out.notes:
            _LOGGER.warning("%s.", note)
        return dataclasses.replace(part, count=shard.count, numbers=(shard.number,))


def calibrate_to(
    file: pathlib.Path,
    source: model_io.Model,
    calibration: Calibration,
    options: Options,
    progress: Progress,
    shard: Shard = WHOLE,
    survey: str | os.PathLike[str] | None = None,
    executor: Executor | None = None,
    *,
    resume: bool = False,
) -> tuple[Part, bool]:
    """Writes the statistics of one part of the samples to a file.

    Args:
        file: The file.
        source: As for `calibrate_part`, and so are those that follow.
        calibration: Likewise.
        options: Likewise.
        progress: Likewise.
        shard: Likewise.
        survey: Likewise.
        executor: Likewise.
        resume: Whether the file stays as it is if it holds the part already.

    Returns:
        What the file holds, and whether it was there.
    """
    if resume:
        with progress.stage("read"):
            part = _there(file, source, calibration, options, shard, survey)
        if part is not None:
            return part, True
    part = calibrate_part(source, calibration, options, progress, shard, survey, executor)
    save(part, file)
    return part, False


def _there(
    file: pathlib.Path,
    source: model_io.Model,
    calibration: Calibration,
    options: Options,
    shard: Shard,
    survey: str | os.PathLike[str] | None,
) -> Part | None:
    """The part that a file holds; None where it is of something else, or holds no such part."""
    if not file.is_file():
        return None
    try:
        part = load(file)
    except InputError:
        return None
    whole = shard == WHOLE and len(part.numbers) == part.count
    if part.gathered is None or not (whole or _is(part, shard)):
        return None
    if survey is not None and not part.shared.is_like(load(survey).shared):
        return None
    dense = model_io.load(source)
    fingerprint = fingerprint_of(dense, open_data(calibration, dense, options), options)
    return part if part.shared.fingerprint.differs(fingerprint) is None else None


def _is(part: Part, shard: Shard) -> bool:
    return (part.count, part.numbers) == (shard.count, (shard.number,))


def survey_alone(
    source: model_io.Model, calibration: Calibration, options: Options, progress: Progress
) -> Part:
    """Finds out what all parts share, and gathers nothing."""
    return Part(shared_by(prepare(source, calibration, options, progress), options))
