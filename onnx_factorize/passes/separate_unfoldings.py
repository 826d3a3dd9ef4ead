"""Values for further unfoldings of convolutions: their rows, and gradients there, in the graph."""

from __future__ import annotations

from collections.abc import Container

import numpy as np
import onnx_ir as ir

from ..graph import Namer, add_initializer
from ..graph.builder import before, emit
from .find_targets import FindTargets
from .linear.marks import mark_helper
from .linear.target import Target
from .linear.unfoldings import split_attributes

__all__ = ["SeparateUnfoldings"]


class SeparateUnfoldings(ir.passes.InPlacePass):
    """Gives unfoldings the value whose rows they multiply: one that nothing else reads.

    - For the input channel form that is x, behind an Identity.
    - For the spatial form it is what a k_h x 1 Conv makes that only copies values; the convolution
      becomes the 1 x k_w Conv that remains.

    The graph computes what it computed. It is meant for calibration.

    Attributes:
        points: Unfolding name to value.
        inputs: Target name to the input that it had, for targets that have unfoldings.
    """

    def __init__(self, names: Container[str]) -> None:
        """Initializes the pass.

        Args:
            names: The unfoldings that are wanted.
        """
        self._wanted = names
        self.points: dict[str, ir.Value] = {}
        self.inputs: dict[str, ir.Value] = {}

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Runs the pass on every convolution that has unfoldings."""
        finder = FindTargets()
        finder(model)
        self._model, self._names = model, Namer(model)
        for target in finder.targets:
            for unfolding in target.unfoldings:
                if unfolding.name in self._wanted:
                    self.inputs[target.name] = target.x
                    separate = self._columns if unfolding.unfolding.leading else self._pixels
                    self.points[unfolding.name] = separate(target)
        return ir.passes.PassResult(model, modified=bool(self.points))

    def _pixels(self, target: Target) -> ir.Value:
        return self._insert(target, "Identity", [target.node.inputs[0]], [])

    def _columns(self, target: Target) -> ir.Value:
        node, geometry, weight = target.node, target.convolution, target.weight
        assert geometry is not None
        assert weight.dtype is not None
        assert weight.const_value is not None
        height, width = geometry.kernel
        channels = target.groups * target.rows // (height * width)
        outer = target.groups * target.columns
        copies = np.tile(np.eye(height), (channels, 1)).reshape(channels * height, 1, height, 1)
        scope = node.graph
        assert isinstance(scope, ir.Graph)
        name = self._names(f"{weight.name}.columns")
        kernel = add_initializer(self._model, scope, name, copies, weight.dtype)
        down, up = split_attributes(geometry)
        down.append(ir.AttrInt64("group", channels))
        columns = self._insert(target, "Conv", [node.inputs[0], kernel], down)
        array = weight.const_value.numpy().reshape(outer, -1, 1, width).astype(np.float64)
        name = self._names(f"{weight.name}.rows")
        node.replace_input_with(1, add_initializer(self._model, scope, name, array, weight.dtype))
        node.attributes.update({attribute.name: attribute for attribute in up})
        return columns

    def _insert(
        self,
        target: Target,
        op_type: str,
        inputs: list[ir.Value | None],
        attributes: list[ir.Attr],
    ) -> ir.Value:
        output = emit(
            before(target.node),
            op_type,
            inputs,
            {attribute.name: attribute for attribute in attributes},
            name=self._names(f"{target.name}.unfolding"),
            output=self._names(f"{target.name}.unfolding"),
            dtype=target.weight.dtype,
        )
        node = output.producer()
        assert node is not None
        mark_helper(node)
        target.node.replace_input_with(0, output)
        return output
