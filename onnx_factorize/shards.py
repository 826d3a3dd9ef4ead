"""Calibration in parts, each of some samples, in processes and on machines that share nothing.

Each part is gathered by itself and written to a file; `merge` adds them up (see `statistics.part`).
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt

from .allocation.analysis import to_observe
from .allocation.channels import Channels
from .calibration import Calibration, CalibrationData
from .errors import InputError
from .factorization.weightings import get_weighting
from .files import model_io
from .options import Options
from .parallel import one_blas_thread
from .prepared import Prepared, prepare
from .progress import Progress
from .statistics.calibration_run import CalibrationRun
from .statistics.part import Part, Shared, merged_parts
from .statistics.statistics_file import load

__all__ = ["WHOLE", "Shard", "calibrate_part", "gathered_part", "merge_files", "survey_alone"]

_SHARD = re.compile(r"([0-9]+)/([0-9]+)")


@dataclasses.dataclass(frozen=True)
class Shard:
    """One of several parts of the calibration samples.

    Attributes:
        number: Which, from 1.
        count: How many there are.
    """

    number: int = 1
    count: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise InputError(
                f"--shard {self.number}/{self.count}: parts are counted from 1 to {self.count}."
            )

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Reads `3/16`.

        Raises:
            InputError: It is something else.
        """
        match = _SHARD.fullmatch(text.strip())
        if match is None:
            raise InputError(f"--shard '{text}' is not of the form I/N, such as 3/16.")
        return cls(int(match[1]), int(match[2]))

    def of(self, data: CalibrationData) -> npt.NDArray[np.bool_]:
        """Marks its samples, a run of neighbours, shape (calibration samples,).

        Raises:
            InputError: There are fewer samples than parts.
        """
        unit = data.unit
        units = data.calibration_samples // unit
        if self.count > units:
            raise InputError(
                f"--shard {self.number}/{self.count}: there are {units} batches to divide."
                if unit > 1
                else f"--shard {self.number}/{self.count}: there are {units} samples to divide."
            )
        part = np.arange(units) * self.count // units + 1
        return np.repeat(part == self.number, unit)


WHOLE = Shard()


def calibrate_part(
    source: model_io.Model,
    calibration: Calibration,
    options: Options,
    progress: Progress,
    shard: Shard = WHOLE,
    survey: str | os.PathLike[str] | None = None,
) -> Part:
    """Gathers the statistics of one part of the samples.

    Args:
        source: The model.
        calibration: The calibration data.
        options: All options; what statistics do not depend on may differ from those of later runs.
        progress: What is told how far the run is.
        shard: Which samples.
        survey: A file that says what all parts share; None to find that out from all data.
    """
    shared = None if survey is None else load(survey).shared
    prepared = prepare(source, calibration, options, progress, shared, str(survey))
    return gathered_part(prepared, options, shard, shared)


def survey_alone(
    source: model_io.Model, calibration: Calibration, options: Options, progress: Progress
) -> Part:
    """Finds out what all parts share, and gathers nothing."""
    prepared = prepare(source, calibration, options, progress)
    _, channels = _to_observe(prepared, options)
    return Part(_shared_by(prepared, options, channels))


@one_blas_thread
def gathered_part(
    prepared: Prepared, options: Options, shard: Shard, shared: Shared | None = None
) -> Part:
    """Gathers the statistics of one part of the samples of a model that is prepared.

    Args:
        prepared: The model and the data.
        options: All options.
        shard: Which samples.
        shared: What all parts share, where that was settled before.
    """
    observed = None if shared is None else set(shared.channels)
    run, channels = _to_observe(prepared, options, observed)
    shared = shared or _shared_by(prepared, options, channels)
    if shard.count > 1:
        run = dataclasses.replace(run, only=shard.of(run.data))
    found = get_weighting(options.weighting).gather(run)
    alone = dataclasses.replace(
        found,
        observer=None,
        unreachable=dict(found.unreachable),
        not_finite=dict(found.not_finite),
    )
    return Part(shared, alone, shard.count, (shard.number,))


def _to_observe(
    prepared: Prepared, options: Options, observed: Collection[str] | None = None
) -> tuple[CalibrationRun, Channels]:
    """What is observed, and the channels among that."""
    weighting = get_weighting(options.weighting)
    return to_observe(prepared.run, weighting, prepared.macs, options.narrowing, observed)


def _shared_by(prepared: Prepared, options: Options, channels: Channels) -> Shared:
    """What all parts of a calibration share."""
    run = prepared.run
    names = tuple(each.name for each in channels.narrowings)
    return Shared(prepared.fingerprint(options), run.surveyed, run.sampling.draws, names)


def merge_files(files: Sequence[str | os.PathLike[str]]) -> Part:
    """All parts of a calibration together.

    Raises:
        InputError: A file cannot be read, one is missing, or they are not of one calibration.
    """
    if not files:
        raise InputError("Give the files of all parts to merge.")
    return merged_parts({str(file): load(file) for file in files})
