"""The price of channels: what their weights cost at each width, in units of a budget."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from ..arrays import Array
from ..curve import Curve
from ..factorization.narrowing.narrowing import Narrowing
from ..graph import constant
from ..passes import Target, spec_of
from ..passes.narrowing import Place
from .candidates import LAID_OUT
from .price import Price, Taken

__all__ = ["ChannelPrices", "Item"]

# Kernels work in blocks of so many channels, where there are many.
_BLOCKS = ((128, 16), (64, 8), (32, 4), (16, 2))

# Channels of convolutions are laid out in blocks, of eight or of sixteen as the processor has it,
# the last of which takes as long as if it were full. Where time is measured that says which; where
# speed is wanted and it is not, they go in the larger.
_TIMED_BLOCK, _FAST_BLOCK = 8, 16

# What saves less than this share of all that goes with channels is noise.
_WORTH = 0.01


@dataclasses.dataclass(frozen=True)
class Item:
    """A weight that shrinks with channels: with those that it reads, and those that it computes.

    Attributes:
        price: What it costs while all of them are there.
        axes: Of each axis that shrinks, by the index of a group, the share of it that is of its
            channels: what reads several groups beside each other has them on one axis.
        target: The operator whose weight it is, if that is a target; None for all else.
    """

    price: float
    axes: tuple[Mapping[int, float], ...]
    target: str | None = None

    @property
    def groups(self) -> set[int]:
        """Indices of the groups that it belongs to."""
        return {group for axis in self.axes for group in axis}

    def left(self, shares: Sequence[float]) -> float:
        """The share of it that is left.

        Args:
            shares: The share of each group's channels that stay.
        """
        return self.between(-1, shares)[1]

    def between(self, group: int, shares: Sequence[float]) -> tuple[float, float]:
        """The same with no channel of one group, and with all: between them it is linear.

        Args:
            group: The group, whose own share is not heeded.
            shares: As for `left`.
        """
        none = every = 1.0
        for axis in self.axes:
            others = 1.0
            for number, part in axis.items():
                if number != group:
                    others -= part * (1.0 - shares[number])
            none *= others - axis.get(group, 0.0)
            every *= others
        return none, every


@dataclasses.dataclass(frozen=True)
class ChannelPrices:
    """Channels, the widths that they may have, and what shrinks with them.

    Attributes:
        narrowings: The channels.
        widths: The widths of each, ascending, the last of which is that of all.
        items: Every weight that belongs to some of them, once.
        timed: By the number of channels whose latency was measured, the share that each of their
            widths leaves of what goes with them.
    """

    narrowings: Sequence[Narrowing]
    widths: Sequence[npt.NDArray[np.int64]]
    items: Sequence[Item]
    timed: Mapping[int, Array] = dataclasses.field(default_factory=dict)

    def parts(self, number: int) -> Array:
        """The share that each width of some channels leaves of what goes with them, ascending."""
        widths = self.widths[number]
        return self.timed.get(number, widths / widths[-1])

    def shares(self, plan: Mapping[str, int]) -> list[float]:
        """The share of each group's channels that a plan leaves, as far as prices go."""
        found = []
        for number, each in enumerate(self.narrowings):
            width, parts = plan.get(each.name) or each.width, self.parts(number)
            found.append(float(np.interp(width, self.widths[number], parts)))
        return found

    def change(self, shares: Sequence[float]) -> float:
        """What the model costs more, or mostly less, with so much of each group's channels left."""
        return sum(item.price * (item.left(shares) - 1) for item in self.items)

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
        touched: dict[tuple[object, int], dict[int, dict[int, float]]] = {}
        places: dict[tuple[object, int], Place] = {}
        for number, narrowing in enumerate(narrowings):
            for place in narrowing.group.places:
                # What several operators read becomes a constant of each.
                key = place.node, place.index
                axis = touched.setdefault(key, {}).setdefault(place.axis, {})
                axis[number] = axis.get(number, 0.0) + _part(place)
                places[key] = place
        items = [
            _item(places[key], tuple(axes.values()), own.get(places[key].value), price)
            for key, axes in touched.items()
        ]
        made = cls(narrowings, [_widths(each, price) for each in narrowings], items)
        return made.with_latencies(price.costs.channels) if price.timed else made

    def with_latencies(self, curves: Mapping[str, Curve]) -> ChannelPrices:
        """The same where some channels save what was measured of all that shares them.

        Operators take part of their time whatever their width. So the share of channels that counts
        is that which saves as much, of what each operator takes, as was measured; what an operator
        saves between two groups remains a product. What lies between operators has no latency of
        its own, and is added where the measured saving is more than that of all operators.

        Args:
            curves: By the name of channels their latency, by width.
        """
        items, timed, widths = list(self.items), {}, list(self.widths)
        for number, each in enumerate(self.narrowings):
            curve = curves.get(each.name)
            if curve is None or len(widths[number]) == 1:
                continue
            full = [1.0] * len(self.narrowings)
            ends = [item.between(number, full) for item in self.items if number in item.groups]
            prices = [item.price for item in self.items if number in item.groups]
            own = sum(p * (every - none) for p, (none, every) in zip(prices, ends, strict=True))
            saved = curve.dense - curve.at(widths[number][:-1])
            least = float(widths[number][0] / widths[number][-1])
            most = max(own, float(saved[0]) / (1 - least), 1e-30)
            if most > own:
                items.append(Item(most - own, ({number: 1.0},)))
            worth = saved > _WORTH * most
            widths[number] = widths[number][np.append(worth, True)]
            timed[number] = np.append(1 - saved[worth] / most, 1.0)
        return ChannelPrices(self.narrowings, widths, items, timed)


def _part(place: Place) -> float:
    """The share of its axis that some channels have."""
    shape = place.value.shape
    length = None if shape is None else shape.numpy()[place.axis]
    return place.positions.size / (length or place.positions.size)


def _item(
    place: Place, axes: tuple[Mapping[int, float], ...], target: Target | None, price: Price
) -> Item:
    """One weight, bias, or other constant."""
    macs = price.costs.arithmetic.nodes.get(place.node.name or "", 0)
    if target is not None:
        taken = Taken.dense(target, macs, price.costs.curves.get(target.name))
        return Item(float(price.of(target.own, taken)[0]), axes, target.operator)
    tensor = constant(place.value)
    if tensor is None or tensor.dtype == ir.DataType.INT64:  # a shape
        return Item(0.0, axes)
    size = int(math.prod(tensor.shape.numpy()))
    own = macs if spec_of(place.node) is not None and place.index == 1 else 0
    return Item(price.of_rest(size, int(size * tensor.dtype.itemsize), own), axes)


def _widths(narrowing: Narrowing, price: Price) -> npt.NDArray[np.int64]:
    """The widths that some channels may have, that of all of them last."""
    width = narrowing.width
    block = next((block for least, block in _BLOCKS if width >= least), 1)
    around = (*narrowing.producers, *narrowing.readers)
    if any(target.convolution is not None for target in around):
        fast = _FAST_BLOCK if price.speed else LAID_OUT
        block = max(block, _TIMED_BLOCK if price.timed else fast)
    return np.append(np.arange(block, width, block), width)
