"""Conv: it becomes two or three convolutions, one file for all forms."""

from __future__ import annotations

import math

import onnx_ir as ir

from ...arrays import Array
from ..linear.attributes import integers, row
from ..linear.convolution import Convolution
from ..linear.factors import Factors
from ..linear.layer import Layer
from ..linear.marks import is_centred
from ..linear.multiplications import of_conv
from ..linear.operator_spec import OperatorSpec, Plain, Sharing
from ..linear.registry import register
from ..linear.rewrite import Rewrite
from ..linear.target import Target
from ..linear.unfoldings import Unfolding, split_attributes
from ..linear.weights import replaceable, weight_tensor

__all__ = ["RewriteConv"]


def _find(model: ir.Model, node: ir.Node, name: str) -> Layer | str:
    """Reads a Conv with a constant kernel of more than one input channel a group."""
    x, weight = node.inputs[:2]
    tensor = weight_tensor(model, weight)
    if isinstance(tensor, str) or x is None or weight is None:
        return str(tensor)
    out_channels, in_channels, *kernel = tensor.shape.numpy()
    groups = node.attributes.get_int("group", 1)
    if in_channels == 1 and groups > 1:
        return "is depthwise: one input channel a group leaves nothing to factorize"
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    known = bias is None or (
        bias.const_value is not None and bias.is_initializer() and not replaceable(model, bias)
    )
    rank = len(kernel)
    geometry = Convolution(
        kernel=tuple(kernel),
        strides=integers(node, "strides", (1,) * rank),
        dilations=integers(node, "dilations", (1,) * rank),
        pads=integers(node, "pads", (0,) * (2 * rank)),
        auto_pad=node.attributes.get_string("auto_pad", "NOTSET"),
    )
    return Layer(
        name,
        node,
        x,
        weight,
        Unfolding.of_convolution(geometry, in_channels, out_channels // groups),
        known and is_centred(node),
        row(bias, out_channels) if known else None,
        groups,
    )


class RewriteConv(Rewrite):
    """A k-dimensional Conv becomes two, of which one has its kernel, or each a part of it.

    - In its own unfolding, the first keeps kernel, strides, dilations, padding and `group`, and has
      rank channels a group; the second is pointwise with the same `group`.
    - In that of its input channels, the first is pointwise, and needs no padding, for what is zero
      stays so; the second keeps the rest.
    - In the spatial unfolding of a 2-D one, a k_h x 1 Conv gives few channels, and a 1 x k_w Conv
      reads them. Strides, dilations and padding go to the one along whose axis they are;
      `auto_pad` to both, for it pads nothing along an axis of one element and stride 1.

    The last of a chain carries the bias; the bias correction goes there, in a new bias if there was
    none.
    """

    axis = 1

    def pair(self, target: Target, factors: Factors) -> None:
        """Two Convs, as the unfolding has it."""
        if target.is_own:
            narrow = self.kernel(target, target.x, factors.down, "down")
            self.finish(target, narrow, factors.up, factors.bias_shift)
        elif not target.unfolding.leading:
            narrow = self.channels(target, target.x, factors.down, "down")
            self.finish(target, narrow, factors.up, factors.bias_shift)
        else:
            geometry = target.layer.own.convolution
            assert geometry is not None
            height, _ = self._kernel(target)
            columns, rows = split_attributes(geometry)
            columns.append(ir.AttrInt64("group", target.groups))
            narrow = factors.down.transpose(0, 2, 1)
            down = self._weight(
                target, "down", narrow.reshape(-1, target.rows // height, height, 1)
            )
            value = self._insert_before(target, "Conv", [target.x, down], columns)
            self.finish(target, value, factors.up, factors.bias_shift)
            target.node.attributes.update({attribute.name: attribute for attribute in rows})

    def channels(
        self,
        target: Target,
        value: ir.Value,
        matrices: Array,
        suffix: str,
        bias: Array | None = None,
    ) -> ir.Value:
        """A pointwise Conv."""
        groups, inner, others = matrices.shape
        ones = [1] * len(self._kernel(target))
        weight = matrices.transpose(0, 2, 1).reshape(groups * others, inner, *ones)
        down = self._weight(target, suffix, weight)
        inputs = [value, down] + ([] if bias is None else [self._weight(target, "bias", bias)])
        attributes = [ir.AttrInt64("group", groups), ir.AttrInt64s("kernel_shape", ones)]
        return self._insert_before(target, "Conv", inputs, attributes, suffix)

    def kernel(self, target: Target, value: ir.Value, matrices: Array, suffix: str) -> ir.Value:
        """A Conv with the attributes of the node, and its kernel for other channels.

        Args:
            target: The target before whose node it stands.
            value: What it reads.
            matrices: Shape (groups, channels * elements of the kernel, others).
            suffix: What its weight is called, behind the name of the target's.
        """
        kernel = self._kernel(target)
        groups, inner, others = matrices.shape
        shape = (groups * others, inner // math.prod(kernel), *kernel)
        weight = self._weight(target, suffix, matrices.transpose(0, 2, 1).reshape(shape))
        attributes = list(target.node.attributes.values())
        return self._insert_before(target, "Conv", [value, weight], attributes)

    def finish(self, target: Target, value: ir.Value, matrices: Array, shift: Array | None) -> None:
        """The node becomes pointwise; in further unfoldings it keeps a kernel."""
        if not target.is_own:
            self._spread(target, value, matrices, shift)
            return
        node = target.node
        ones = [1] * len(self._kernel(target))
        pointwise = matrices.transpose(0, 2, 1).reshape(-1, matrices.shape[1], *ones)
        node.replace_input_with(0, value)
        node.replace_input_with(1, self._weight(target, "up", pointwise))
        for name in ("auto_pad", "dilations", "pads", "strides"):
            node.attributes.pop(name, None)
        node.attributes["kernel_shape"] = ir.AttrInt64s("kernel_shape", ones)
        if shift is not None:
            self._correct_own_bias(target, shift)

    def _spread(
        self, target: Target, value: ir.Value, matrices: Array, shift: Array | None
    ) -> None:
        """Makes the node a Conv from few channels, with the axes of its kernel that are no rows."""
        node, kernel = target.node, self._kernel(target)
        leading = target.unfolding.leading
        kernel[:leading] = [1] * leading
        groups, rank, _ = matrices.shape
        apart = matrices.reshape(groups, rank, -1, math.prod(kernel)).transpose(0, 2, 1, 3)
        node.replace_input_with(0, value)
        node.replace_input_with(1, self._weight(target, "up", apart.reshape(-1, rank, *kernel)))
        if shift is not None:
            self._correct_own_bias(target, shift)

    def _kernel(self, target: Target) -> list[int]:
        assert target.weight.shape is not None
        return list(target.weight.shape.numpy()[2:])


register(
    OperatorSpec(
        "Conv",
        title="channel",
        weights=(1,),
        multiplications=of_conv,
        plain=Plain(_find, RewriteConv, turn=2),
        sharing=Sharing(1, apart=True, transposed=False),
        is_convolution=True,
        quantized=frozenset({"static"}),
    )
)
