"""What a command that stops early has left behind."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable
from typing import Any

import click

__all__ = ["kept", "remember", "remember_checkpoint"]

# Where click's context keeps it.
_WRITTEN, _CHECKPOINT = "onnx_factorize.written", "onnx_factorize.checkpoint"


def remember(paths: Iterable[pathlib.Path]) -> None:
    """Notes files that are written."""
    meta = click.get_current_context().meta
    meta[_WRITTEN] = [*meta.get(_WRITTEN, []), *map(str, paths)]


def remember_checkpoint(path: str | None) -> None:
    """Notes the file that a training is kept in from time to time."""
    click.get_current_context().meta[_CHECKPOINT] = path


def kept(meta: dict[str, Any]) -> str:
    """What there is now, as the second half of a sentence."""
    written, checkpoint = meta.get(_WRITTEN, []), meta.get(_CHECKPOINT)
    if written:
        return f"{', '.join(written)} {'was' if len(written) == 1 else 'were'} written"
    if checkpoint is not None and pathlib.Path(checkpoint).exists():
        return f"run the same command again to continue from {checkpoint}"
    return "nothing was written"
