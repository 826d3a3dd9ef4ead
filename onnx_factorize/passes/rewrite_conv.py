"""Conv becomes two or three convolutions: one file for all forms."""

from __future__ import annotations

import math

import onnx_ir as ir

from .rewrite import Array, Rewrite
from .target import Factors, Target
from .unfoldings import split_attributes

__all__ = ["RewriteConv", "RewriteConvInput", "RewriteConvSpatial", "RewriteConvTucker"]


class _RewriteConv(Rewrite):
    """What the forms of a convolution share."""

    op_type = "Conv"

    def _kernel(self, target: Target) -> list[int]:
        assert target.weight.shape is not None
        return list(target.weight.shape.numpy()[2:])

    def _narrow(self, target: Target, first: Array) -> ir.Value:
        """A pointwise Conv of the input by factors of shape (groups, channels, rank)."""
        groups, inner, rank = first.shape
        ones = [1] * len(self._kernel(target))
        weight = first.transpose(0, 2, 1).reshape(groups * rank, inner, *ones)
        down = self._weight(target, "down", weight)
        attributes = [ir.AttrInt64("group", groups), ir.AttrInt64s("kernel_shape", ones)]
        return self._insert_before(target, "Conv", [target.x, down], attributes)

    def _widen(self, target: Target, narrow: ir.Value, factors: Factors) -> None:
        """Makes the node a pointwise Conv of few channels, with the bias and its correction."""
        node = target.node
        ones = [1] * len(self._kernel(target))
        second = factors.second.transpose(0, 2, 1).reshape(-1, factors.rank, *ones)
        node.replace_input_with(0, narrow)
        node.replace_input_with(1, self._weight(target, "up", second))
        for name in ("auto_pad", "dilations", "pads", "strides"):
            node.attributes.pop(name, None)
        node.attributes["kernel_shape"] = ir.AttrInt64s("kernel_shape", ones)
        if factors.bias_shift is not None:
            self._correct_own_bias(target, factors.bias_shift)


class RewriteConv(_RewriteConv):
    """A k-dimensional Conv becomes a Conv of the same kernel, then a pointwise Conv.

    - The first keeps kernel, strides, dilations, padding and `group`, and has rank channels a
      group.
    - The second is 1 x 1 with the same `group` and carries the bias; the bias correction goes
      there, in a new bias if there was none.
    """

    form = "channel"

    def _rewrite(self, target: Target, factors: Factors) -> None:
        kernel = self._kernel(target)
        channels = target.groups * factors.rank
        first = factors.first.transpose(0, 2, 1).reshape(channels, -1, *kernel)
        down = self._weight(target, "down", first)
        attributes = list(target.node.attributes.values())
        narrow = self._insert_before(target, "Conv", [target.x, down], attributes)
        self._widen(target, narrow, factors)


class RewriteConvInput(_RewriteConv):
    """A Conv becomes a pointwise Conv to few channels, then the same Conv from those.

    - The first has the same `group`; it needs no padding, for what is zero stays so.
    - The second keeps kernel, strides, dilations, padding, `group` and bias.
    """

    form = "input channel"
    view = "input"

    def _rewrite(self, target: Target, factors: Factors) -> None:
        kernel = self._kernel(target)
        rank, elements = factors.rank, math.prod(kernel)
        second = factors.second.reshape(target.groups, rank, -1, elements).transpose(0, 2, 1, 3)
        narrow = self._narrow(target, factors.first)
        up = self._weight(target, "up", second.reshape(-1, rank, *kernel))
        target.node.replace_input_with(0, narrow)
        target.node.replace_input_with(1, up)
        if factors.bias_shift is not None:
            self._correct_own_bias(target, factors.bias_shift)


class RewriteConvSpatial(_RewriteConv):
    """A 2-D Conv becomes a k_h x 1 Conv to few channels, then a 1 x k_w Conv from those.

    - Strides, dilations and padding go to the one along whose axis they are; `auto_pad` to both,
      for it pads nothing along an axis of one element and stride 1.
    - Both have the same `group`; the second has the bias.
    """

    form = "spatial"
    view = "spatial"

    def _rewrite(self, target: Target, factors: Factors) -> None:
        node = target.node
        assert target.view_of is not None
        assert target.view_of.convolution is not None
        height, width = self._kernel(target)
        columns, rows = split_attributes(target.view_of.convolution)
        columns.append(ir.AttrInt64("group", target.groups))
        rank = factors.rank
        first = factors.first.transpose(0, 2, 1).reshape(target.groups * rank, -1, height, 1)
        second = factors.second.reshape(target.groups, rank, -1, width).transpose(0, 2, 1, 3)
        down = self._weight(target, "down", first)
        up = self._weight(target, "up", second.reshape(-1, rank, 1, width))
        narrow = self._insert_before(target, "Conv", [target.x, down], columns)
        node.replace_input_with(0, narrow)
        node.replace_input_with(1, up)
        node.attributes.update({attribute.name: attribute for attribute in rows})
        if factors.bias_shift is not None:
            self._correct_own_bias(target, factors.bias_shift)


class RewriteConvTucker(_RewriteConv):
    """A Conv becomes a pointwise Conv, the same Conv between few channels, and a pointwise Conv.

    Strides, dilations and padding stay in the middle; the last carries the bias.
    """

    form = "Tucker-2"
    has_core = True

    def _rewrite(self, target: Target, factors: Factors) -> None:
        assert factors.core is not None
        groups, inner, _, outer = factors.core.shape
        core = factors.core.transpose(0, 3, 1, 2).reshape(
            groups * outer, inner, *self._kernel(target)
        )
        attributes = list(target.node.attributes.values())
        narrow = self._narrow(target, factors.first)
        middle = self._weight(target, "core", core)
        # Named as the first of the chain is: names are made unique.
        few = self._insert_before(target, "Conv", [narrow, middle], attributes)
        self._widen(target, few, factors)
