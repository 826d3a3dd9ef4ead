"""The price of channels: what their weights cost at each width, in units of a budget."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from ..arrays import Array
from ..factorization.narrowing.narrowing import Narrowing
from ..graph import constant
from ..passes import Target, spec_of
from ..passes.narrowing import Place
from .price import Price, Taken

__all__ = ["ChannelPrices", "Item"]

# Kernels work in blocks of so many channels, where there are many.
_BLOCKS = ((128, 16), (64, 8), (32, 4), (16, 2))


@dataclasses.dataclass(frozen=True)
class Item:
    """A weight that shrinks with channels: with those that it reads, and those that it computes.

    Attributes:
        price: What it costs while all of them are there.
        groups: Indices of the groups that it belongs to.
        target: The operator whose weight it is, if that is a target; None for all else.
    """

    price: float
    groups: tuple[int, ...]
    target: str | None = None


@dataclasses.dataclass(frozen=True)
class ChannelPrices:
    """Channels, the widths that they may have, and what shrinks with them.

    Attributes:
        narrowings: The channels.
        widths: The widths of each, ascending, the last of which is that of all.
        items: Every weight that belongs to some of them, once.
    """

    narrowings: Sequence[Narrowing]
    widths: Sequence[npt.NDArray[np.int64]]
    items: Sequence[Item]

    def change(self, shares: Array) -> float:
        """What the model costs more, or mostly less, with so much of each group's channels left.

        Args:
            shares: Shape (groups,).
        """
        left = (float(np.prod(shares[list(item.groups)])) for item in self.items)
        return sum(item.price * (share - 1) for item, share in zip(self.items, left, strict=True))

    @classmethod
    def of(
        cls, narrowings: Sequence[Narrowing], targets: Sequence[Target], price: Price
    ) -> ChannelPrices:
        """Prices channels.

        Args:
            narrowings: The channels.
            targets: The targets.
            price: The unit.
        """
        own = {target.weight: target for target in targets}
        touched: dict[tuple[object, int], list[int]] = {}
        places: dict[tuple[object, int], Place] = {}
        for number, narrowing in enumerate(narrowings):
            for place in narrowing.group.places:
                # What several operators read becomes a constant of each.
                key = place.node, place.index
                touched.setdefault(key, []).append(number)
                places[key] = place
        items = [
            _item(places[key], tuple(groups), own.get(places[key].value), price)
            for key, groups in touched.items()
        ]
        return cls(narrowings, [_widths(each.width) for each in narrowings], items)


def _item(place: Place, groups: tuple[int, ...], target: Target | None, price: Price) -> Item:
    """One weight, bias, or other constant."""
    macs = price.costs.arithmetic.nodes.get(place.node.name or "", 0)
    if target is not None:
        taken = Taken.dense(target, macs, price.costs.curves.get(target.name))
        return Item(float(price.of(target.own, taken)[0]), groups, target.operator)
    tensor = constant(place.value)
    if tensor is None or tensor.dtype == ir.DataType.INT64:  # a shape
        return Item(0.0, groups)
    size = int(math.prod(tensor.shape.numpy()))
    own = macs if spec_of(place.node) is not None and place.index == 1 else 0
    return Item(price.of_rest(size, int(size * tensor.dtype.itemsize), own), groups)


def _widths(width: int) -> npt.NDArray[np.int64]:
    block = next((block for least, block in _BLOCKS if width >= least), 1)
    return np.append(np.arange(block, width, block), width)
