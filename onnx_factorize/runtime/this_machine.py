"""Latencies of this machine: measured here, once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir

from ..curve import Curve
from .interleaved import latencies
from .latency_cache import LatencyCache
from .latency_source import Family, Feeds, LatencySource
from .session import Runtime

__all__ = ["FeedTimer", "ThisMachine", "time_fed"]

# From models, what they are run on, how to run them, and the bytes that are read between two runs,
# to milliseconds; they take turns.
FeedTimer = Callable[[Sequence[ir.Model], Feeds, Runtime, int], list[float]]

# Time for all sizes of a family.
_SECONDS = 1.0


def time_fed(
    models: Sequence[ir.Model], feeds: Feeds, runtime: Runtime, others: int
) -> list[float]:
    """Measures models in turns, in a runtime.

    Between two runs of an operator, a model runs all its others, whose weights push this one's out
    of the caches: with few rows it is reading the weights that takes the time. So as many bytes
    as they have are read here, too.
    """
    sessions = [runtime.timed.session(model) for model in models]
    # Not zeros: all pages of those are one page of memory, and evict nothing.
    rest = np.ones(max(1, others // 8), np.int64)
    return latencies(sessions, feeds, _SECONDS, rest.max).least


class ThisMachine(LatencySource):
    """What this machine takes, as measured now or in an earlier run."""

    def __init__(self, cache: LatencyCache, timer: FeedTimer | None = None) -> None:
        """Measures as the cache says.

        Args:
            cache: How models are run, and what was measured so before.
            timer: What measures; `time_fed` by default.
        """
        self._cache, self._timer = cache, timer or time_fed

    def curve(self, family: Family) -> Curve | None:
        """The latency of a family, alike ones measured once; None where it has no models."""
        times = self._cache.get(family.key, 1 + len(family.sizes))
        if times is None:
            models = family.build()
            if not models:
                return None
            times = self._timer(models, family.feed(), self._cache.runtime, family.between)
            self._cache.put(family.key, times)
        return Curve(times[0], family.sizes, tuple(times[1:]))

    def save(self) -> None:
        """Writes what was measured to the user's cache."""
        self._cache.save()
