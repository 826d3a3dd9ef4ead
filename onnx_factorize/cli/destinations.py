"""Files that a run may write: none that it reads from, and nothing that is no file."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence

from ..calibration import calibration_files
from ..errors import InputError
from ..files import model_io
from ..files.external import external_files
from ..foreign import reading
from ..report.report_files import check_report

__all__ = ["Destinations"]


@dataclasses.dataclass(frozen=True)
class Destinations:
    """The files that a run is to write.

    Attributes:
        models: Models.
        reports: Their reports, and the page of a sweep.
        checkpoints: What a training is kept in; a file there already is continued from.
        copies: Copies of what lies beside the dense model.
    """

    models: Sequence[pathlib.Path]
    reports: Sequence[pathlib.Path] = ()
    checkpoints: Sequence[pathlib.Path] = ()
    copies: Sequence[pathlib.Path] = ()

    def __iter__(self) -> Iterator[pathlib.Path]:
        yield from (*self.models, *self.reports, *self.checkpoints, *self.copies)

    def check(
        self,
        model: pathlib.Path,
        calibration: str | Sequence[str] | None = None,
        libraries: Sequence[str] = (),
        tokenizer: str | None = None,
        others: Mapping[str, str] | None = None,
    ) -> None:
        """Finds out now, not after minutes of work, what cannot or must not be written.

        Args:
            model: The model that is read.
            calibration: Its calibration data, as the command line names them; None without any.
            libraries: Those of `--custom-ops`.
            tokenizer: That of `--tokenizer`.
            others: What each of other files is, such as "is the survey".

        Raises:
            InputError: A path cannot be written, would be written twice, or holds something that
                the run reads.
        """
        for report in self.reports:
            check_report(report)
        self._check_distinct()
        for path in self:
            with reading(f"{path} cannot be written"):
                _check_writable(path)
        named = dict.fromkeys(libraries, "is the library of --custom-ops")
        if tokenizer is not None:
            named[tokenizer] = "is the tokenizer"
        self._check_read(model, calibration, named | dict(others or {}))

    def _check_distinct(self) -> None:
        seen: dict[pathlib.Path, pathlib.Path] = {}
        for path in (*self, *map(_weights_of, self.models)):
            other = seen.setdefault(path.resolve(), path)
            if other is path:
                continue
            if path in self.reports and other in self.models:
                raise InputError(
                    f"{path} is to hold both the model and its report; choose another."
                )
            raise InputError(f"{path} is to be written twice; choose another name for one of them.")

    def _check_read(
        self,
        model: pathlib.Path,
        calibration: str | Sequence[str] | None,
        named: Mapping[str, str],
    ) -> None:
        """Refuses to write over what the run reads, by whatever name or link."""
        there = [path for path in (*self, *map(_weights_of, self.models)) if path.exists()]
        if not there:
            return
        inputs = {
            _identity(model): "is the dense model itself" if calibration else "is what is converted"
        }
        for weights in external_files(model_io.load(model)):
            inputs[_identity(weights)] = f"holds the weights of {model}"
        for file in () if calibration is None else calibration_files(calibration):
            inputs[_identity(file)] = "holds calibration data"
        for option, said in named.items():
            if pathlib.Path(option).exists():
                inputs[_identity(pathlib.Path(option))] = said
        for path in there:
            if _identity(path) in inputs:
                said = inputs[_identity(path)]
                raise InputError(f"{path} {said}; choose another output.")


def _check_writable(path: pathlib.Path) -> None:
    folder = path.parent
    if not folder.is_dir():
        raise InputError(f"{path} cannot be written: the folder {folder} does not exist.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"{path} cannot be written: no permission to write in {folder}.")
    if path.is_dir():
        raise InputError(f"{path} is a folder; give a file to write.")
    if path.exists() and not path.is_file():
        raise InputError(f"{path} is a pipe or a device; give a file to write.")


def _weights_of(path: pathlib.Path) -> pathlib.Path:
    """The files of a model's weights that are outside of its own."""
    return path.with_name(f"{path.name}.data")


def _identity(path: pathlib.Path) -> tuple[int, int]:
    """The identity of a file, which all its names and links have in common."""
    found = path.stat()
    return found.st_dev, found.st_ino
