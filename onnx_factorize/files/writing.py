"""Writing files: whole or not at all, and several that belong together at one moment."""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
import secrets
import stat
import tempfile
from collections.abc import Iterator

from ..errors import InputError

__all__ = ["Files", "atomic_path", "scratch", "writing"]


class Files:
    """Files that are written under other names beside their own, and then appear in order.

    Attributes:
        current: The file that is being written, for the message of an error.
    """

    def __init__(self) -> None:
        self.current: pathlib.Path | None = None
        self._temporary: dict[pathlib.Path, pathlib.Path] = {}
        self._older: dict[pathlib.Path, pathlib.Path] = {}
        self._folders = contextlib.ExitStack()

    def path(self, target: pathlib.Path) -> pathlib.Path:
        """The path under which to write what will be `target`."""
        self.current = target
        return self.adopt(_beside(target), target)

    def folder(self, target: pathlib.Path) -> pathlib.Path:
        """A folder beside `target`, for files that must have their own names as they are made."""
        self.current = target
        prefix = f".{target.name}."
        name = tempfile.TemporaryDirectory(prefix=prefix, suffix=".part", dir=target.parent)
        return pathlib.Path(self._folders.enter_context(name))

    def adopt(self, temporary: pathlib.Path, target: pathlib.Path) -> pathlib.Path:
        """Notes that `temporary` will be `target`, and returns it."""
        self._temporary[target] = temporary
        return temporary

    def appear(self) -> None:
        """Gives all their names, or, if that fails half-way, none.

        Each has the mode of what it takes the place of. At no moment does one stand beside a file
        of another run: a model beside weights that are not its own would be a wrong model.
        """
        for target, temporary in self._temporary.items():
            self.current = target
            if target.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            if target.exists():
                temporary.chmod(stat.S_IMODE(target.stat().st_mode))
        try:
            for target in self._temporary if len(self._temporary) > 1 else ():
                if target.exists() or target.is_symlink():
                    self._older[target] = _beside(target)
                    target.replace(self._older[target])
            for target, temporary in self._temporary.items():
                self.current = target
                temporary.replace(target)
        except BaseException:
            self._undo()
            raise

    def _undo(self) -> None:
        """Takes away what has appeared, and puts back what was there."""
        for target, temporary in self._temporary.items():
            with contextlib.suppress(OSError):
                if target in self._older and self._older[target].exists():
                    self._older[target].replace(target)
                elif not temporary.exists() and target not in self._older:
                    target.unlink(missing_ok=True)

    def clear(self) -> None:
        """Removes what has not appeared, and what has gone."""
        for temporary in (*self._temporary.values(), *self._older.values()):
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._folders.close()


def _beside(target: pathlib.Path) -> pathlib.Path:
    return target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")


@contextlib.contextmanager
def scratch() -> Iterator[None]:
    """Says in one sentence that there is no room for temporary files.

    Raises:
        InputError: There is none.
    """
    try:
        yield
    except OSError as error:
        try:
            where = f"in {tempfile.gettempdir()}"
        except OSError:
            where = "anywhere"
        raise InputError(
            f"Temporary files cannot be kept {where}: {error.strerror or error}; set TMPDIR to a "
            "folder with more room."
        ) from error


@contextlib.contextmanager
def writing() -> Iterator[Files]:
    """Gives what collects files, which appear if nothing failed.

    Raises:
        InputError: Writing fails.
    """
    files = Files()
    try:
        yield files
        files.appear()
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{files.current} cannot be written: {reason}.") from error
    finally:
        files.clear()


@contextlib.contextmanager
def atomic_path(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Gives a temporary path beside `path`, and moves it there if nothing failed.

    Raises:
        InputError: Writing fails.
    """
    with writing() as files:
        yield files.path(path)
