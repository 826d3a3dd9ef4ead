"""Figures that benchmarks keep: a JSON list with a row a line.

Those that pages of docs/ are made of are in benchmarks/results/, so that a page can be made again
when some of them are measured anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

__all__ = ["read", "write"]

Row = dict[str, Any]


def read(paths: Iterable[str | Path]) -> list[Row]:
    """All rows of some files."""
    return [row for path in paths for row in json.loads(Path(path).read_text())]


def write(path: Path | None, rows: Sequence[Row]) -> None:
    """Keeps rows, if they are to be kept; called after each, for a run may be stopped."""
    if path is not None:
        path.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")
