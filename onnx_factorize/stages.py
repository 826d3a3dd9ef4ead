"""The stages of a run: what users read of each, and what is still to come of them.

Reports and logs call a stage by its key; terminals and pages by its title.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["Forecast", "title_of_stage"]

_TITLES = {
    "read": "read model and data",
    "survey": "look at outputs",
    "find subnormal weights": "look for tiny weights",
    "find targets": "find what can be cut",
    "check that torch agrees": "compare with torch",
    "quantize the dense model": "quantize dense model",
    "decompose": "decompose weights",
    "cross-validate losses": "estimate losses",
    "measure cuts without gradient": "measure single cuts",
    "evaluate plans": "choose ranks",
    "rewrite": "write the factors",
    "refit": "refit factors",
    "predict": "predict divergence",
    "measure the guarantee": "check the guarantee",
    "verify": "verify on new samples",
    "verify along the stream": "verify along stream",
    "time": "time the models",
}

# What is done once, however many budgets there are.
_SHARED = ("calibrate", "cross-validate losses")


def title_of_stage(name: str) -> str:
    """The title of a stage, which is its name where that is plain."""
    return _TITLES.get(name, name)


class Forecast:
    """The seconds that a run still takes, within a factor of about two.

    Attributes:
        more: Budgets that follow the one at hand, each of which takes about as long as that.
        is_open: Whether nobody knows how many budgets there will be.
    """

    def __init__(self) -> None:
        self.more = 0
        self.is_open = False
        self._stages: dict[str, float] = {}
        self._own = 0.0

    def expect(self, seconds: Mapping[str, float]) -> None:
        """Takes what stages will take in place of what was thought of them before."""
        self._stages |= seconds
        self._own = sum(s for name, s in self._stages.items() if name not in _SHARED)

    def finish(self, name: str) -> None:
        """Takes note that a stage is over."""
        self._stages.pop(name, None)

    def left(self, name: str, seconds: float, done: float | None) -> float | None:
        """Seconds until the run is over; None where that is not known.

        Args:
            name: The stage at hand.
            seconds: What it took so far.
            done: The share of it that is done; None if that is not known.
        """
        if not self._stages or self.is_open:
            return None
        own = max(0.0, self._stages.get(name, 0.0) - seconds)
        if done:
            own = seconds * (1 - done) / done
        others = sum(taken for other, taken in self._stages.items() if other != name)
        return own + others + self.more * self._own
