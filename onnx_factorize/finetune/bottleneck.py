"""Bottlenecks of a factorized graph, with the factors on both sides as matrices."""

from __future__ import annotations

import dataclasses
from collections import Counter

import onnx_ir as ir
import torch
from torch import Tensor

from ..passes import spec_of
from ..passes.linear.provenance import origin_name

__all__ = ["Bottleneck", "Factor", "find_bottlenecks"]


@dataclasses.dataclass(frozen=True)
class Factor:
    """A weight beside a bottleneck, as matrices whose rows belong to the bottleneck's components.

    Attributes:
        node: Name of its node.
        weight: Name of its initializer.
        convolution: Whether it is the kernel of a convolution.
        groups: Of that convolution, else 1.
        reads: Whether it reads the bottleneck, or gives it.
        turned: Whether it is a matrix that its node reads transposed (Gemm with `transB`).
    """

    node: str
    weight: str
    convolution: bool
    groups: int
    reads: bool
    turned: bool = False

    def matrices(self, tensor: Tensor) -> Tensor:
        """A tensor of the weight's form as matrices (groups, width, others)."""
        if not self.convolution:
            return (tensor if self.reads != self.turned else tensor.mT)[None]
        split = tensor.reshape(self.groups, tensor.shape[0] // self.groups, *tensor.shape[1:])
        if self.reads:
            split = split.transpose(1, 2)
        return split.reshape(self.groups, split.shape[1], -1)

    def stored(self, matrices: Tensor, like: Tensor) -> Tensor:
        """Matrices (groups, width, others) in the form of the weight, of any width.

        Args:
            matrices: The matrices.
            like: The weight, or a tensor of its form.
        """
        groups, width, _ = matrices.shape
        if not self.convolution:
            return matrices[0] if self.reads != self.turned else matrices[0].mT
        outer, inner, *kernel = like.shape
        if not self.reads:
            return matrices.reshape(groups * width, inner, *kernel)
        split = matrices.reshape(groups, width, outer // groups, *kernel)
        return split.transpose(1, 2).reshape(outer, width, *kernel)


@dataclasses.dataclass(frozen=True)
class Bottleneck:
    """A value of few channels between two factors.

    Attributes:
        operator: The operator that was factorized.
        value: Name of the value.
        width: Its channels in one group.
        down: The factor that gives it.
        up: The factor that reads it.
    """

    operator: str
    value: str
    width: int
    down: Factor
    up: Factor

    @property
    def groups(self) -> int:
        """Its groups, which do not mix."""
        return self.down.groups

    def rows(self, z: Tensor) -> Tensor:
        """The value, or its gradient, as rows (groups, rows, width)."""
        if not self.down.convolution:
            return z.reshape(1, -1, z.shape[-1])
        split = z.reshape(len(z), self.groups, self.width, -1)
        return split.permute(1, 0, 3, 2).reshape(self.groups, -1, self.width)


def find_bottlenecks(model: ir.Model) -> list[Bottleneck]:
    """Finds the bottlenecks between two factors that are plain weights, each of one node's own.

    Factors that several operators share, or that are converted before they are used, and those of
    other operators are left out; so is all that is in bodies of loops and branches.

    Args:
        model: A model that this tool factorized, in the order of the graph.
    """
    uses = Counter(value for node in model.graph.all_nodes() for value in set(node.inputs))
    found = []
    for node in model.graph:
        down, operator = _factor(node, uses, reads=False), origin_name(node)
        users = list(node.outputs[0].uses()) if node.outputs else []
        if down is None or operator is None or len(users) != 1:
            continue
        up = _factor(users[0].node, uses, reads=True)
        if up is None or origin_name(users[0].node) != operator or users[0].idx != 0:
            continue
        if down.groups != up.groups or down.convolution != up.convolution:
            continue
        width = down.matrices(torch.empty(_shape(node))).shape[1]
        found.append(Bottleneck(operator, node.outputs[0].name or "", width, down, up))
    return found


def _factor(node: ir.Node, uses: Counter[ir.Value | None], *, reads: bool) -> Factor | None:
    spec = spec_of(node)
    if spec is None or spec.plain is None or (reads and spec.picks_rows):
        return None
    index = spec.weights[0]
    weight = node.inputs[index]
    if weight is None or weight.const_value is None or weight.producer() is not None:
        return None
    if uses[weight] > 1 or weight.is_graph_output():
        return None
    groups, turned = (node.attributes.get_int(name, 0) for name in ("group", "transB"))
    names = node.name or "", weight.name or ""
    return Factor(*names, spec.is_convolution, groups or 1, reads, bool(turned))


def _shape(node: ir.Node) -> tuple[int, ...]:
    spec = spec_of(node)
    assert spec is not None
    weight = node.inputs[spec.weights[0]]
    assert weight is not None
    assert weight.shape is not None
    return tuple(weight.shape.numpy())
