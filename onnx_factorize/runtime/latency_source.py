"""Who tells what operators take: this machine, or what another device has measured."""

from __future__ import annotations

import abc
import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy.typing as npt
import onnx_ir as ir

from ..curve import Curve

__all__ = ["Family", "Feeds", "LatencySource"]

# By the names of inputs what a model is run on.
Feeds = Mapping[str, npt.NDArray[Any]]


@dataclasses.dataclass(frozen=True)
class Family:
    """An operator, or neighbours that share channels, dense and at several sizes.

    What models are made of is asked for only where they are needed.

    Attributes:
        label: What it is in its model: the same in every run of that.
        sizes: The ranks, or the numbers of channels, in increasing order.
        describe: A text that is the same for families of the same latency.
        build: The models: dense, and then at each size; none where they cannot be made.
        feed: What all of them are run on.
        between: Bytes that are read between two runs (see `bytes_between`).
    """

    label: str
    sizes: tuple[int, ...]
    describe: Callable[[], str]
    build: Callable[[], Sequence[ir.Model]]
    feed: Callable[[], Feeds]
    between: int

    @functools.cached_property
    def key(self) -> str:
        """What tells its latency from others."""
        return f"{self.describe()} at {list(self.sizes)}, {self.between} bytes between"


class LatencySource(abc.ABC):
    """Who tells latencies.

    Attributes:
        measures: Whether it makes models, which takes time for each.
        verb: What it does with them, in the names of stages.
    """

    verb: ClassVar[str] = "time"
    measures: ClassVar[bool] = True

    @abc.abstractmethod
    def curve(self, family: Family) -> Curve | None:
        """The latency of a family in milliseconds by size, or None where nobody can tell it.

        A curve without a size is that of what must stay as it is.
        """

    def save(self) -> None:
        """Keeps what was measured, where there is a place for it."""
        return

    def dense(self) -> float | None:
        """The milliseconds that one sample of the dense model takes, where that is known."""
        return None

    def samples(self, own: int) -> int:
        """The number of samples that models are run on.

        Args:
            own: The number of those that this run would time models on.
        """
        return own
