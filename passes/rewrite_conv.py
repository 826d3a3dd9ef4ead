"""Conv becomes a Conv to few channels and a 1 x 1 Conv back: the channel form."""

from __future__ import annotations

import onnx_ir as ir

from .rewrite import Rewrite
from .target import Factors, Target

__all__ = ["RewriteConv"]


class RewriteConv(Rewrite):
    """A k-dimensional Conv becomes a Conv of the same kernel, then a pointwise Conv.

    - The first keeps kernel, strides, dilations, padding and `group`, and has rank channels a
      group.
    - The second is 1 x 1 with the same `group` and carries the bias; the bias correction goes
      there, in a new bias if there was none.
    """

    op_type = "Conv"
    form = "channel"

    def _rewrite(self, target: Target, factors: Factors) -> None:
        node = target.node
        assert target.weight.shape is not None
        _, in_channels, *kernel = target.weight.shape.numpy()
        channels = target.groups * factors.rank
        first = factors.first.transpose(0, 2, 1).reshape(channels, in_channels, *kernel)
        second = factors.second.transpose(0, 2, 1).reshape(
            target.groups * target.columns, factors.rank, *(1 for _ in kernel)
        )
        down = self._weight(target, "down", first)
        up = self._weight(target, "up", second)
        attributes = list(node.attributes.values())
        node.replace_input_with(
            0, self._insert_before(target, "Conv", [target.x, down], attributes)
        )
        node.replace_input_with(1, up)
        for name in ("auto_pad", "dilations", "pads", "strides"):
            node.attributes.pop(name, None)
        node.attributes["kernel_shape"] = ir.AttrInt64s("kernel_shape", [1] * len(kernel))
        if factors.bias_shift is not None:
            self._correct_own_bias(target, factors.bias_shift)
