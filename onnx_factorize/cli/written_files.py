"""Files that a command that stops early has left behind."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable
from typing import Any

import click

__all__ = ["expect", "expect_checkpoint", "what_was_written"]

# Keys of click's context.
_EXPECTED, _CHECKPOINT = "onnx_factorize.expected", "onnx_factorize.checkpoint"


def expect(paths: Iterable[pathlib.Path]) -> None:
    """Notes files that are to be written, and what is there now.

    What was written is found out by looking: wherever the command stops, that is true.
    """
    meta = click.get_current_context().meta
    meta[_EXPECTED] = {path: _state(path) for path in paths}


def expect_checkpoint(path: str | None) -> None:
    """Notes the file that a training is kept in from time to time."""
    click.get_current_context().meta[_CHECKPOINT] = path


def what_was_written(meta: dict[str, Any]) -> str:
    """The files that were written, as the second half of a sentence."""
    before, checkpoint = meta.get(_EXPECTED, {}), meta.get(_CHECKPOINT)
    written = [str(path) for path, state in before.items() if _state(path) not in (None, state)]
    if written:
        return f"{', '.join(written)} {'was' if len(written) == 1 else 'were'} written"
    if checkpoint is not None and pathlib.Path(checkpoint).exists():
        return f"run the same command again to continue from {checkpoint}"
    return "nothing was written"


def _state(path: pathlib.Path) -> tuple[int, int, int] | None:
    """The marks that tell a file from another that takes its place."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns
