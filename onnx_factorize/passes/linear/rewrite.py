"""Parts that the rewrites of all operators share."""

from __future__ import annotations

import abc
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from ...arrays import Array
from ...graph import Namer
from .factors import Factors
from .negligible import significant, without_negligible
from .provenance import Provenance, stamp
from .registry import title_of
from .site import Site
from .target import Target

__all__ = ["Rewrite"]


class Rewrite:
    """Replaces targets of one operator by chains of low-rank operators.

    The node keeps its name, its outputs and its metadata and becomes the last of the chain; the
    nodes before it are new. New names are the old ones with a suffix. All of them are marked with
    their provenance. The old weight is left to `CleanUp`.

    Subclasses emit linear maps of the kind of their operator: a form that is no plain pair is a
    chain of those (see `Chain`).

    Attributes:
        axis: The axis of a value that its channels are on.
    """

    axis: int = -1

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
        self.site = Site(self._model, self._names, target.node, target.operator)
        assert target.weight.dtype is not None
        kept = without_negligible(factors, target.weight.dtype.numpy())
        title = title_of(target) if factors.chain is None else factors.chain.title(target)
        # What it was: a rewrite may change the node's type.
        mark = Provenance(target.op_type, title, factors.rank, target.full_rank)
        if factors.chain is None:
            self.pair(target, kept)
        else:
            factors.chain.write(self, target, kept)
        if target.weight in target.node.inputs:
            return  # it is what it was, with other contents of its weight
        stamp(target.node, self.site.made, mark, target.operator)

    @abc.abstractmethod
    def pair(self, target: Target, factors: Factors) -> None:
        """Rewrites one node: two factors, in the target's unfolding of its weight."""

    def channels(
        self,
        target: Target,
        value: ir.Value,
        matrices: Array,
        suffix: str,
        bias: Array | None = None,
    ) -> ir.Value:
        """A linear map from the channels of a value to others.

        Args:
            target: The target before whose node it stands.
            value: The value.
            matrices: Shape (groups, channels, others).
            suffix: What its weight and itself are called, behind the names of the target's.
            bias: What it adds, shape (groups * others,); only where the target adds something.
        """
        raise NotImplementedError(f"{self.site.node.op_type} maps no channels before its own.")

    def kernel(self, target: Target, value: ir.Value, matrices: Array, suffix: str) -> ir.Value:
        """A map with the kernel of the node, and all else that it has, between other channels.

        Args:
            target: The target before whose node it stands.
            value: What it reads.
            matrices: Shape (groups, channels * elements of the kernel, others).
            suffix: What its weight is called, behind the name of the target's.
        """
        raise NotImplementedError(f"{self.site.node.op_type} has no kernel.")

    def finish(self, target: Target, value: ir.Value, matrices: Array, shift: Array | None) -> None:
        """Makes the node a linear map from the channels of a value, with the bias.

        Args:
            target: The target whose node it is.
            value: The value.
            matrices: Shape (groups, channels, N).
            shift: What is added to the bias.
        """
        raise NotImplementedError(f"{self.site.node.op_type} maps no channels after others.")

    def replace(self, target: Target, matrices: Array, shift: Array | None) -> None:
        """Gives the node another weight of the same shape, and nothing else that is new.

        Args:
            target: The target whose node it is.
            matrices: Shape (groups, K, N).
            shift: What is added to the bias.
        """
        weight = target.weight
        assert weight.dtype is not None
        array = target.stored(significant(matrices)).astype(weight.dtype.numpy())
        weight.const_value = ir.tensor(array, dtype=weight.dtype, name=weight.name)
        if shift is not None:
            self.correct(target, shift)

    def correct(self, target: Target, shift: Array) -> None:
        """Adds a shift to what the node adds to `x W`."""
        self._correct_own_bias(target, shift)

    def split(self, value: ir.Value, lengths: Sequence[int]) -> tuple[ir.Value, ...]:
        """Parts of the channels of a value, one behind the other."""
        return self.site.split(value, lengths, self.axis)

    def _weight(self, target: Target, suffix: str, array: Array) -> ir.Value:
        """A new initializer named after the target's weight, beside it, in its type."""
        return self.site.factor(target.weight, suffix, array)

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
        return self.site.initializer(bias, f"{bias.name}.corrected", corrected)

    def _insert_before(
        self,
        target: Target,
        op_type: str,
        inputs: list[ir.Value],
        attributes: list[ir.Attr],
        suffix: str = "down",
    ) -> ir.Value:
        """Inserts a new node before the target's and returns its output."""
        output = self.site.op(op_type, *inputs, suffix=f".{suffix}")
        node = output.producer()
        assert node is not None
        assert target.weight.dtype is not None
        node.attributes.update({attribute.name: attribute for attribute in attributes})
        output.type = ir.TensorType(target.weight.dtype)
        return output
