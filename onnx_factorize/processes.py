"""Tells whether this process is one of several that `torchrun` started, without importing torch."""

from __future__ import annotations

import os

__all__ = ["count", "rank"]


def count() -> int:
    """The number of processes that train together."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "TORCHELASTIC_RUN_ID" in os.environ else 1


def rank() -> int:
    """The number of this one; the first reports, and writes."""
    return int(os.environ["RANK"]) if count() > 1 else 0
