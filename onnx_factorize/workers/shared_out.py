"""A calibration that is shared out: each worker gathers a part, and this process adds them up.

What travels lies in a folder that all can see: the run once, and statistics as files that are
mapped. A worker keeps the model and the data that it has read for the pieces that follow.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import pickle
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping

import numpy as np
import numpy.typing as npt

from ..allocation.gathering import Known
from ..calibration import CalibrationData
from ..errors import InputError
from ..factorization.weighting import Weighting
from ..files import model_io
from ..files.writing import scratch
from ..options import Effort, Options
from ..outputs.selection import selected
from ..passes import OutputKind
from ..prepared import Prepared, targets_of
from ..progress import Progress
from ..runtime.paging import spill_large
from ..runtime.runtimes import runtime_of
from ..shards import Shard, gathered_part, merge_files, units_of
from ..statistics.calibration_run import CalibrationRun, Gathered
from ..statistics.part import Part, Shared
from ..statistics.sampling import Sampling
from ..statistics.statistics_file import save
from .rounds import Workers

__all__ = ["SharedOut"]

_RUN, _MODEL, _SEEN = "run.pickle", "model.onnx", "seen"

# Seconds from one note of how far a worker is to the next.
_EVERY = 0.2


@dataclasses.dataclass(frozen=True)
class _Task:
    """All that a worker needs to know of a run.

    Attributes:
        model: The file of what is factorized.
        data: The calibration data.
        options: All options.
        shared: What all parts share.
        kinds: What the graph, or the user, says of each output.
        sampling: The labels that gradients are taken at, and the places that are looked at.
        effort: What may be computed besides.
        macs: Multiplications of the dense model for one sample.
        only: The samples of which statistics are gathered; None for all.
    """

    model: str
    data: CalibrationData
    options: Options
    shared: Shared
    kinds: Mapping[str, OutputKind]
    sampling: Sampling
    effort: Effort
    macs: float
    only: npt.NDArray[np.bool_] | None

    def run(self) -> CalibrationRun:
        """The run, as `prepare` makes it."""
        start = model_io.load(self.model)
        spill_large(start)
        survey, options = self.shared.survey, self.options
        chosen = selected(start, self.kinds)
        normal, targets, _, _ = targets_of(start, survey.outputs, chosen, options)
        return CalibrationRun(
            normal,
            targets,
            self.data,
            survey,
            runtime_of(options.runtime),
            self.sampling,
            effort=self.effort,
            only=self.only,
            block=self.data.memory.block(model_io.weight_bytes(normal), options.blockwise),
        )


@dataclasses.dataclass(frozen=True)
class _Piece:
    """One part of the samples, for a worker."""

    folder: str
    shard: Shard

    @property
    def file(self) -> pathlib.Path:
        """The file of what is gathered."""
        return pathlib.Path(self.folder) / f"part.{self.shard.number}.npz"


class _Kept(threading.local):
    """The run that a worker is at: it is read once."""

    folder: str | None = None
    task: _Task
    run: CalibrationRun

    def of(self, folder: str) -> tuple[_Task, CalibrationRun]:
        if self.folder != folder:
            self.task = _read(folder)
            self.run = self.task.run()
            self.folder = folder
        return self.task, self.run


_KEPT = _Kept()


def _read(folder: str) -> _Task:
    try:
        content = (pathlib.Path(folder) / _RUN).read_bytes()
    except OSError as error:
        raise InputError(
            f"A worker does not see the folder {folder}: set TMPDIR, there and here, to one that "
            "all machines share."
        ) from error
    task = pickle.loads(content)  # noqa: S301 - what the run itself wrote
    assert isinstance(task, _Task)
    return task


def _gather(piece: _Piece) -> str:
    """What a worker does: gathers a part, and writes it to a file; returns its name."""
    if piece.file.exists():  # who gathered it was lost before it could say so
        return str(piece.file)
    noted = _Noted(piece)  # before all else: who dies while reading was at it, too
    task, run = _KEPT.of(piece.folder)
    run = dataclasses.replace(run, progress=noted)
    save(gathered_part(run, task.macs, task.options, task.shared, piece.shard), piece.file)
    return str(piece.file)


class _Noted(Progress):
    """Notes in a file how many samples were seen; a folder that is gone ends the work."""

    def __init__(self, piece: _Piece) -> None:
        super().__init__()
        name = f"{_SEEN}.{piece.shard.number}.{os.getpid()}-{os.urandom(8).hex()}"
        self._file, self._seen, self._next = pathlib.Path(piece.folder) / name, 0, 0.0
        self._write()

    @contextlib.contextmanager
    def _shown(self, name: str, total: int | None) -> Iterator[Callable[[int], None]]:  # noqa: ARG002 - there is one
        yield self._advance

    def _advance(self, steps: int) -> None:
        self._seen += steps
        if time.monotonic() >= self._next:
            self._write()

    def _write(self) -> None:
        try:
            self._file.write_text(str(self._seen))
        except OSError as error:
            folder = self._file.parent
            raise InputError(f"A worker cannot write to {folder}: {error.strerror}.") from error
        self._next = time.monotonic() + _EVERY


class SharedOut:
    """Statistics that workers gather (see `Gathering`)."""

    channels: Collection[str] | None = None

    def __init__(self, prepared: Prepared, options: Options, workers: Workers) -> None:
        """Takes what is to be shared out, and among whom."""
        self._prepared, self._options, self._workers = prepared, options, workers
        self.notes: list[str] = []

    def of(
        self, run: CalibrationRun, weighting: Weighting, channels: Collection[str] = ()
    ) -> Gathered:
        """What all workers gathered together."""
        if not weighting.looks:
            return weighting.gather(run)
        survey, draws = run.surveyed, run.sampling.draws
        fingerprint = self._prepared.fingerprint(self._options)
        part = self.part(Shared(fingerprint, survey, draws, tuple(channels)), run.only)
        return Known(part, "The calibration").of(run, weighting)

    def part(self, shared: Shared, only: npt.NDArray[np.bool_] | None = None) -> Part:
        """The statistics of some samples, all of which are one part.

        Args:
            shared: What all parts share.
            only: The samples, shape (samples,); None for all.
        """
        data, progress = self._prepared.run.data, self._prepared.run.progress
        count = max(1, min(self._workers.count, len(units_of(data, only))))
        with scratch():
            folder = tempfile.TemporaryDirectory(
                prefix="onnx-factorize-", ignore_cleanup_errors=True
            )
        samples = data.calibration_samples if only is None else int(only.sum())
        with folder as name, progress.stage("calibrate", samples) as advance:
            self._lay_out(pathlib.Path(name), shared, only, count)
            seen = _Seen(pathlib.Path(name), advance)
            pieces = [_Piece(name, Shard(number, count)) for number in range(1, count + 1)]
            files, lost = self._workers.each(_gather, pieces, seen.look)
            merged = merge_files(files)
            self._say(max(lost, len(seen.attempts) - count))
        return dataclasses.replace(merged, count=1, numbers=(1,))

    def _say(self, lost: int) -> None:
        if lost > 0:
            parts = "a part" if lost == 1 else f"{lost} parts"
            self.notes.append(
                f"A worker was lost while it calibrated: {parts} of the samples went to another, "
                "and the statistics are the same"
            )

    def _lay_out(
        self, folder: pathlib.Path, shared: Shared, only: npt.NDArray[np.bool_] | None, count: int
    ) -> None:
        """Writes what workers read."""
        prepared, options = self._prepared, self._options
        threads = options.runtime.threads or 1
        runtime = dataclasses.replace(options.runtime, threads=threads)
        run = prepared.run
        task = _Task(
            self._model(folder),
            run.data.within(run.data.memory.shared(count)),
            dataclasses.replace(options, runtime=runtime),
            shared,
            dict(prepared.kinds),
            run.sampling,
            run.effort,
            prepared.macs,
            only,
        )
        with scratch():
            (folder / _RUN).write_bytes(pickle.dumps(task))

    def _model(self, folder: pathlib.Path) -> str:
        """The file of the model: its own, unless it is in memory, or was changed."""
        prepared = self._prepared
        if prepared.start is prepared.dense and isinstance(prepared.source, str | os.PathLike):
            return str(pathlib.Path(prepared.source).absolute())
        with scratch():
            model_io.save(prepared.start, folder / _MODEL)
        return str(folder / _MODEL)


class _Seen:
    """What workers note of their pieces."""

    def __init__(self, folder: pathlib.Path, advance: Callable[[int], None]) -> None:
        self._folder, self._advance, self._shown = folder, advance, 0

    def look(self) -> None:
        """Tells how many samples have been seen."""
        seen: dict[str, int] = {}
        for file in self._folder.glob(f"{_SEEN}.*"):
            number, text = file.name.split(".")[1], file.read_text()
            seen[number] = max(seen.get(number, 0), int(text or 0))
        new = sum(seen.values()) - self._shown
        if new > 0:
            self._shown += new
            self._advance(new)

    @property
    def attempts(self) -> list[int]:
        """The process of each piece, as often as it was begun."""
        files = self._folder.glob(f"{_SEEN}.*")
        return [int(file.name.split(".")[2].split("-")[0]) for file in files]
