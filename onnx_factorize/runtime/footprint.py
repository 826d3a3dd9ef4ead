"""The memory that a model's values take while it runs, measured on one real sample."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from ..errors import InputError
from ..passes import ObserveSizes
from .session import Runtime

__all__ = ["UNKNOWN", "Footprint", "fed_bytes", "footprint_of"]


@dataclasses.dataclass(frozen=True)
class Footprint:
    """The bytes of a model's values for each byte that it is fed.

    Files of texts or lines are often in the order of their lengths: what one sample takes says
    nothing of the others, but what each byte takes that is fed is about the same for all.

    Attributes:
        live: Bytes of those that are needed at once, at most, and of the outputs.
        every: Bytes of all: gradients need most of them.
    """

    live: float
    every: float

    @property
    def running(self) -> float:
        """What running the model takes.

        Runtimes keep about as much again at hand, and three models are loaded at the same time: the
        dense one of a search, and the two that are compared in the end.
        """
        return 6 * self.live

    def observing(self, observed: float, *, gradients: bool) -> float:
        """What running it takes with values that are observed.

        Args:
            observed: Bytes of these for each byte that is fed.
            gradients: Whether there are gradients; they need about half of all values.
        """
        return observed + (self.every / 2 if gradients else self.running)


# A model that shows no sizes is taken to be like most.
UNKNOWN = Footprint(live=16.0, every=128.0)


def footprint_of(
    model: ir.Model, feeds: Mapping[str, npt.NDArray[Any]], runtime: Runtime
) -> Footprint:
    """Runs a model once and adds up the sizes that occur.

    Args:
        model: The model; it is not changed.
        feeds: What to run it on.
        runtime: How to run it.

    Returns:
        What was found; `UNKNOWN` where the model cannot be observed.
    """
    observed, observe = model.clone(), ObserveSizes()
    observe(observed)
    if not observe.values:
        return UNKNOWN
    names = sorted({value.output for value in observe.values})
    try:
        found = runtime.session(observed, names).run(feeds)
    except InputError:
        # Types that no one declares may be no tensors.
        return UNKNOWN
    changes = np.zeros(2 + max(value.last for value in observe.values))
    every = 0.0
    for value in observe.values:
        size = value.bytes * float(found[value.output].sum())
        every += size
        changes[value.first] += size
        changes[max(value.first, value.last) + 1] -= size
    live = max(itertools.accumulate(changes.tolist()))
    fed = fed_bytes(feeds)
    return Footprint(live / fed, every / fed)


def fed_bytes(feeds: Mapping[str, npt.NDArray[Any]]) -> int:
    """The bytes of what is fed, at least one."""
    return max(1, sum(array.nbytes for array in feeds.values()))
