"""The protocol of a source of calibration data."""

from __future__ import annotations

import abc

from ...arrays import Arrays

__all__ = ["Source"]


class Source(abc.ABC):
    """A list of records, each holding one or more samples."""

    @property
    @abc.abstractmethod
    def records(self) -> int:
        """Number of records."""

    @abc.abstractmethod
    def counts(self) -> list[int]:
        """Number of samples in each record, without reading the data."""

    @abc.abstractmethod
    def head(self, record: int) -> Arrays:
        """A record as it is, or its first rows where it is large."""

    @abc.abstractmethod
    def read(self, record: int, start: int, stop: int) -> tuple[Arrays, str]:
        """Samples `start` to `stop` of a record, and where they come from (for messages)."""
