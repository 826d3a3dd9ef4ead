"""What an operator still reads and computes of channels that were narrowed."""

from __future__ import annotations

import dataclasses
import math

__all__ = ["ChannelShares"]


@dataclasses.dataclass(frozen=True)
class ChannelShares:
    """The channels that one operator still reads, and computes: so many of so many."""

    reads: tuple[int, int] | None = None
    computes: tuple[int, int] | None = None

    def reading(self, gone: int, channels: int) -> ChannelShares:
        """The same where so many more of the channels that it reads are gone."""
        return dataclasses.replace(self, reads=_less(self.reads, gone, channels))

    def computing(self, gone: int, channels: int) -> ChannelShares:
        """The same where so many more of the channels that it computes are gone."""
        return dataclasses.replace(self, computes=_less(self.computes, gone, channels))

    def beside(self, width: int, channels: int) -> ChannelShares:
        """The same of a channelwise operator through which further channels go."""
        now, dense = self.computes or (0, 0)
        return dataclasses.replace(self, computes=(now + width, dense + channels))

    @property
    def share(self) -> float:
        """The share of its weights that is left."""
        pairs = [pair for pair in (self.reads, self.computes) if pair is not None]
        return math.prod(now / dense for now, dense in pairs)

    @property
    def title(self) -> str:
        """As reports call it."""
        parts = {"reads": self.reads, "computes": self.computes}
        said = [f"{verb} {p[0]} of {p[1]}" for verb, p in parts.items() if p is not None]
        return f"{', '.join(said)} channels"


def _less(left: tuple[int, int] | None, gone: int, channels: int) -> tuple[int, int]:
    now, dense = (channels, channels) if left is None else left
    return now - gone, dense
