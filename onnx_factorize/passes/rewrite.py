"""What the rewrites of all operators share."""

from __future__ import annotations

import abc

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from ..graph import Namer
from ._site import Site
from .negligible import without_negligible
from .provenance import Provenance, stamp
from .target import Factors, Target

__all__ = ["Array", "Rewrite"]

Array = npt.NDArray[np.float64]


class Rewrite:
    """Replaces targets of one operator by chains of low-rank operators.

    The node keeps its name, its outputs and its metadata and becomes the last of the chain; the
    nodes before it are new. New names are the old ones with a suffix. All of them are marked with
    their provenance. The old weight is left to `CleanUp`.

    Subclasses name their operator in `op_type`, how they cut it in `form`, the view of it that they
    take in `view`, and rewrite one node in `_rewrite`.
    """

    op_type: str
    form: str
    view: str = ""
    has_core: bool = False

    def __init__(self, model: ir.Model, names: Namer) -> None:
        """Prepares to rewrite targets.

        Args:
            model: The model that holds them.
            names: Gives the names of what is made.
        """
        self._model = model
        self._names = names

    def __call__(self, target: Target, factors: Factors) -> None:
        """Rewrites a target."""
        self._site = Site(self._model, self._names, target.node, target.operator)
        assert target.weight.dtype is not None
        self._rewrite(target, without_negligible(factors, target.weight.dtype.numpy()))
        mark = Provenance(target.op_type, self.form, factors.rank, target.full_rank)
        stamp(target.node, self._site.made, mark, target.operator)

    def applies(self, target: Target, factors: Factors) -> bool:
        """Whether this is how a target is rewritten."""
        if target.node.op_type != self.op_type or target.view != self.view:
            return False
        return (factors.core is not None) == self.has_core

    @abc.abstractmethod
    def _rewrite(self, target: Target, factors: Factors) -> None:
        """Rewrites one node."""

    def _weight(self, target: Target, suffix: str, array: Array) -> ir.Value:
        """A new initializer named after the target's weight, beside it, in its type."""
        return self._site.factor(target.weight, suffix, array)

    def _correct_own_bias(self, target: Target, shift: Array, scale: float = 1) -> None:
        """Adds `shift` to the bias in the node's third input, made where there is none."""
        node = target.node
        bias = node.inputs[2] if len(node.inputs) > 2 else None
        if bias is None:
            node.resize_inputs(3)
            corrected = self._weight(target, "bias", shift)
        else:
            corrected = self._shifted(bias, shift, scale)
        node.replace_input_with(2, corrected)

    def _shifted(self, bias: ir.Value, shift: Array, scale: float = 1) -> ir.Value:
        """A bias of the same shape plus `shift`; a scalar becomes a row."""
        assert bias.const_value is not None
        old = bias.const_value.numpy().astype(np.float64) * scale
        shape = old.shape if old.size == shift.size else (*old.shape[:-1], shift.size)
        corrected = np.broadcast_to(old, shape) + shift.reshape(shape)
        return self._site.initializer(bias, f"{bias.name}.corrected", corrected)

    def _insert_before(
        self, target: Target, op_type: str, inputs: list[ir.Value], attributes: list[ir.Attr]
    ) -> ir.Value:
        """Inserts a new node before the target's and returns its output."""
        output = self._site.op(op_type, *inputs, suffix=".down")
        node = output.producer()
        assert node is not None
        assert target.weight.dtype is not None
        node.attributes.update({attribute.name: attribute for attribute in attributes})
        output.type = ir.TensorType(target.weight.dtype)
        return output
