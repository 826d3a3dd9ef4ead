"""ConvTranspose: a 1 x 1 Conv to few channels, then the ConvTranspose from those."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import onnx_ir as ir

from ..linear.factors import Factors
from ..linear.multiplications import Lengths, Term, operand
from ..linear.operator_spec import OperatorSpec
from ..linear.registry import register
from ..linear.site import Site, rearranged
from ..linear.variant import Variant

__all__ = ["TransposedConvolution"]


@dataclasses.dataclass
class TransposedConvolution(Variant):
    """Each input position gives `x W`, C_in channels to C_out k, which is added where it falls.

    The product is over channels alone, so that its rows are those of x and its gradient is exact;
    only where the results fall overlaps. A bias cannot absorb the error's mean: it would have to
    differ at the borders.
    """

    shape: tuple[int, ...]
    groups: int

    def canonicalize(self, site: Site) -> None:
        """Becomes a pointwise Conv, and a ConvTranspose that only puts values in their places."""
        node = site.node
        channels, each, *kernel = self.shape
        elements, spatial = math.prod(kernel), len(kernel)
        g, inner, outer = self.groups, channels // self.groups, self.groups * each
        size = (outer * elements, inner, *(1 for _ in kernel))
        axes = (0, 2, *range(3, 3 + spatial), 1)
        rearranged(
            self.weight,
            lambda w: w.reshape(g, inner, each, *kernel).transpose(axes).reshape(size),
            size,
        )
        product = site.op("Conv", self.x, self.weight, group=g, kernel_shape=[1] * spatial)
        site.core(product, centred=False)
        places = np.tile(np.eye(elements), (outer, 1)).reshape(outer * elements, 1, *kernel)
        put = site.initializer(self.weight, f"{self.weight.name}.places", places)
        y = site.helper("ConvTranspose", product, put, *node.inputs[2:3])
        scatter = y.producer()
        assert scatter is not None
        scatter.attributes.update(node.attributes)
        scatter.attributes["group"] = ir.AttrInt64("group", outer)
        site.close(y)

    def rewrite(self, site: Site, factors: Factors) -> None:
        """Becomes a pointwise Conv and the same ConvTranspose from fewer channels."""
        channels, each, *kernel = self.shape
        rank = self.groups * factors.rank
        pointwise = factors.down.transpose(0, 2, 1)
        pointwise = pointwise.reshape(rank, channels // self.groups, *(1 for _ in kernel))
        down = site.factor(self.weight, "down", pointwise)
        up = site.factor(self.weight, "up", factors.up.reshape(rank, each, *kernel))
        narrow = site.op(
            "Conv",
            self.x,
            down,
            suffix=".down",
            group=self.groups,
            kernel_shape=[1] * len(kernel),
        )
        site.node.replace_input_with(0, narrow)
        site.node.replace_input_with(1, up)


def _read(
    _: ir.Model, node: ir.Node, x: ir.Value, weight: ir.Value, shape: tuple[int, ...]
) -> Variant | str | None:
    """Reads a ConvTranspose."""
    groups = node.attributes.get_int("group", 1)
    if groups > 1 and shape[0] == groups:
        return "is depthwise: one input channel a group leaves nothing to factorize"
    return TransposedConvolution(x, weight, shape, groups)


def _multiplications(node: ir.Node) -> tuple[Term, ...]:
    return ((Lengths(operand(node, 0)), Lengths(operand(node, 1), 1)),)


register(
    OperatorSpec(
        "ConvTranspose",
        title="input channel",
        weights=(1,),
        multiplications=_multiplications,
        variants=(_read,),
        is_product=False,
        is_convolution=True,
        quantized=frozenset({"static"}),
    )
)
