"""The memory that a run may take, and what of it goes where."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from ..errors import InputError
from .words import Blockwise

__all__ = ["Memory"]

_SIZE = re.compile(r"([0-9]*\.?[0-9]+)\s*(?:([kmgt])(i?))?b?", re.IGNORECASE)

_LEAST = 1e6

# With larger batches nothing is faster.
_BATCH = 2.0**28


@dataclasses.dataclass(frozen=True)
class Memory:
    """Memory for what a run computes and keeps of the data, beside the model itself.

    Attributes:
        bytes: All of it.
    """

    bytes: float = 2.0**31

    def __post_init__(self) -> None:
        if not self.bytes >= _LEAST:
            raise InputError("--memory must be at least 1MB.")

    @classmethod
    def of(cls, given: Any) -> Memory:
        """Reads what a user gives: `4GB`, `512MB`, `2GiB`, or a number of bytes.

        Raises:
            InputError: It is of another form.
        """
        if isinstance(given, cls):
            return given
        match = _SIZE.fullmatch(str(given).strip())
        if match is None or isinstance(given, bool):
            raise InputError(f"--memory '{given}' is not a size such as 4GB or 512MB.")
        power = " kmgt".index((match[2] or " ").lower())
        return cls(float(match[1]) * (1024 if match[3] else 1000) ** power)

    def shared(self, count: int) -> Memory:
        """What each of several processes may take, if all together take no more."""
        return Memory(max(_LEAST, self.bytes / count))

    @property
    def batch(self) -> float:
        """Of what is computed of the samples that run at once."""
        return min(self.bytes / 8, _BATCH)

    @property
    def rows(self) -> float:
        """Of samples that were read and are kept."""
        return self.bytes / 8

    @property
    def answers(self) -> float:
        """Of answers of the dense model that are kept, of each fold of the data."""
        return self.bytes / 8

    @property
    def operators(self) -> float:
        """Of the moments of one operator."""
        return self.bytes / 4

    @property
    def directions(self) -> float:
        """Of directions, mostly on disk, that are cross-validated in one pass over the data."""
        return self.bytes

    @property
    def channels(self) -> float:
        """Of the moments of what reads channels that may go, of all folds of the data."""
        return self.bytes / 2

    def block(self, weights: float, asked: Blockwise) -> float | None:
        """Of weights of a block of the model, where blocks are calibrated one by one; else None.

        Args:
            weights: Bytes of all weights.
            asked: Whether to do that: by default where they are more than all memory.
        """
        if asked == "off" or (asked == "auto" and weights <= self.bytes):
            return None
        # A runtime may hold weights, their transposes and what it packs of both.
        return min(self.bytes / 8, weights / 4)

    @property
    def crossing(self) -> float:
        """Of values, mostly on disk, from which a model goes on while its factors are refitted."""
        return self.bytes / 2
