"""Channels that may be narrowed, with the targets that read them."""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Sequence

import onnx_ir as ir

from ...passes import Target
from ...passes.narrowing import ChannelGroup, FindChannels, RefusedChannels

__all__ = ["Narrowing", "find_narrowings"]

# With fewer channels there is nothing to choose from.
_LEAST = 4


@dataclasses.dataclass(frozen=True, eq=False)
class Narrowing:
    """Channels of which some may go.

    Attributes:
        group: The channels, as the graph has them.
        readers: The targets that read them, whose weights make up for those that go.
        producers: The targets that compute them.
    """

    group: ChannelGroup
    readers: tuple[Target, ...]
    producers: tuple[Target, ...]

    @property
    def name(self) -> str:
        """The name under which plans and losses know them."""
        return f"{self.group.name} (channels)"

    def refused(self, reason: str) -> RefusedChannels:
        """The same as channels that stay."""
        return _refused(self.group, reason)

    def unusable(self, usable: Container[str]) -> str | None:
        """The reason why they must stay where only some targets may be changed, or None."""
        roles = [(self.producers, "computes"), (self.readers, "reads")]
        return next(
            (
                f"'{target.name}', which {does} them, is not factorized"
                for targets, does in roles
                for target in targets
                if target.name not in usable
            ),
            None,
        )

    @property
    def width(self) -> int:
        """The number of channels."""
        return self.group.width


def find_narrowings(
    normal: ir.Model, targets: Sequence[Target]
) -> tuple[list[Narrowing], list[RefusedChannels]]:
    """Finds the channels between targets that may be narrowed, and those that may not.

    Args:
        normal: The normalised model; it is not changed.
        targets: The targets that may be changed.
    """
    finder = FindChannels()
    finder(normal)
    known = {target.operator: target.own for target in targets}
    found, refused = [], list(finder.refused)
    for group in finder.groups:
        reason = _refusal(group, known)
        if reason is None:
            readers = tuple(known[reader.layer.name] for reader in group.readers)
            producers = tuple(known[p.name] for p in group.producers)
            found.append(Narrowing(group, readers, producers))
            continue
        refused.append(_refused(group, reason))
    return found, refused


def _refused(group: ChannelGroup, reason: str) -> RefusedChannels:
    first = group.producers[0]
    operators = tuple(producer.name for producer in group.producers)
    return RefusedChannels(first.name, first.op_type, reason, operators)


def _refusal(group: ChannelGroup, targets: dict[str, Target]) -> str | None:
    """The reason why channels cannot be narrowed, or None."""
    if group.width < _LEAST:
        return f"there are {group.width} of them"
    for layer in group.producers:
        if layer.name not in targets:
            return f"'{layer.name}', which computes them, is not factorized"
    for reader in group.readers:
        name = reader.layer.name
        target = targets.get(name)
        if target is None:
            return f"'{name}', which reads them, is not factorized"
        if not target.stands or target.group is not None:
            return f"'{name}', which reads them, has no weight of its own to be fitted anew"
        if target.weight.dtype is None or target.itemsize != target.weight.dtype.itemsize:
            return f"the weight of '{name}', which reads them, is stored in another type"
    return None
