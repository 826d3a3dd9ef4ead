"""Calibration in parts, each of some samples, in processes and on machines that share nothing.

Each part is gathered by itself and written to a file; `merge` adds them up (see `statistics.part`).
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .allocation.analysis import to_observe
from .calibration import CalibrationData
from .errors import InputError
from .factorization.weightings import get_weighting
from .options import Options
from .parallel import one_blas_thread
from .prepared import Prepared
from .statistics.calibration_run import CalibrationRun
from .statistics.part import Part, Shared, merged_parts
from .statistics.statistics_file import load

__all__ = ["WHOLE", "Shard", "gathered_part", "merge_files", "shared_by", "units_of"]

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

    def of(
        self, data: CalibrationData, within: npt.NDArray[np.bool_] | None = None
    ) -> npt.NDArray[np.bool_]:
        """Marks its samples, a run of neighbours, shape (calibration samples,).

        Args:
            data: The calibration data.
            within: The samples to divide, of the same shape; None for all.

        Raises:
            InputError: There are fewer samples than parts.
        """
        units = units_of(data, within)
        if self.count > len(units):
            what = "batches" if data.unit > 1 else "samples"
            raise InputError(
                f"--shard {self.number}/{self.count}: there are {len(units)} {what} to divide."
            )
        part = np.arange(len(units)) * self.count // len(units) + 1
        found = np.zeros(data.calibration_samples // data.unit, bool)
        found[units[part == self.number]] = True
        return np.repeat(found, data.unit)


def units_of(
    data: CalibrationData, within: npt.NDArray[np.bool_] | None = None
) -> npt.NDArray[np.int64]:
    """The samples, or batches where the model fixes these, that can be divided, by number."""
    count = data.calibration_samples // data.unit
    return np.arange(count) if within is None else np.flatnonzero(within[:: data.unit])


WHOLE = Shard()


@one_blas_thread
def gathered_part(
    run: CalibrationRun, macs: float, options: Options, shared: Shared, shard: Shard = WHOLE
) -> Part:
    """Gathers the statistics of one part of the samples of a run.

    Args:
        run: The model and the data.
        macs: Multiplications of the dense model for one sample.
        options: All options.
        shared: What all parts share.
        shard: Which of the samples that the run is of.
    """
    weighting, observed = get_weighting(options.weighting), set(shared.channels)
    run, _ = to_observe(run, weighting, macs, options.narrowing, observed)
    if shard.count > 1:
        run = dataclasses.replace(run, only=shard.of(run.data, run.only))
    found = weighting.gather(run)
    alone = dataclasses.replace(
        found,
        observer=None,
        unreachable=dict(found.unreachable),
        not_finite=dict(found.not_finite),
    )
    return Part(shared, alone, shard.count, (shard.number,))


def shared_by(prepared: Prepared, options: Options) -> Shared:
    """What all parts of a calibration share, of a model that is prepared without that."""
    run, weighting = prepared.run, get_weighting(options.weighting)
    _, channels = to_observe(run, weighting, prepared.macs, options.narrowing)
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
