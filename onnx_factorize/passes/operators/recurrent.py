"""LSTM, GRU and RNN: their input weights, which multiply every step's input alike."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx_ir as ir

from ..linear.factors import Factors
from ..linear.marks import Rest, rest_of
from ..linear.multiplications import Lengths, Term, operand
from ..linear.operator_spec import OperatorSpec, Sharing
from ..linear.registry import register
from ..linear.site import Site, rearranged
from ..linear.variant import Variant

__all__ = ["RecurrentInput"]

_REST = Rest(
    (2,), "its recurrent weights are multiplied inside its loop: only those of its input can go"
)


@dataclasses.dataclass
class RecurrentInput(Variant):
    """The gates of all directions from x, `x @ Wᵀ` with W of D gates·H x I, one product for all.

    The operator accepts inputs of any width, so that a product with few columns before it and
    narrower input weights are the factors. Recurrent weights are multiplied inside its loop, where
    nothing can stand between them: they stay.
    """

    shape: tuple[int, ...]

    def canonicalize(self, site: Site) -> None:
        """Becomes a MatMul that gives all gates, and the operator with the identity as weights."""
        node = site.node
        directions, gates, width = self.shape
        columns = directions * gates
        # Rows are to be in the order of samples, and x has its steps first.
        steps_first = not node.attributes.get_int("layout", 0)
        x = site.helper("Transpose", self.x, perm=[1, 0, 2]) if steps_first else self.x
        rearranged(self.weight, lambda w: w.reshape(columns, width).T, (width, columns))
        product = site.core(site.op("MatMul", x, self.weight), centred=False)
        if steps_first:
            product = site.helper("Transpose", product, perm=[1, 0, 2])
        identity = np.eye(columns).reshape(directions, gates, columns)
        node.replace_input_with(0, product)
        node.replace_input_with(
            1, site.initializer(self.weight, f"{self.weight.name}.gates", identity)
        )
        site.leave_rest("recurrent", _REST)

    def rewrite(self, site: Site, factors: Factors) -> None:
        """Becomes a MatMul and the operator with a narrower input."""
        directions, gates, _ = self.shape
        down = site.factor(self.weight, "down", factors.down[0])
        up = factors.up[0].T.reshape(directions, gates, factors.rank)
        site.node.replace_input_with(0, site.op("MatMul", self.x, down, suffix=".down"))
        site.node.replace_input_with(1, site.factor(self.weight, "up", up))


def _read(
    _: ir.Model, node: ir.Node, x: ir.Value, weight: ir.Value, shape: tuple[int, ...]
) -> Variant | str | None:
    """Reads a recurrent operator."""
    if node.inputs[1] is not weight or len(shape) != 3:
        return "its input weights are not constant"
    return RecurrentInput(x, weight, shape)


def _multiplications(node: ir.Node) -> tuple[Term, ...]:
    """Every step of every sample multiplies the input and the recurrent weights of all gates."""
    steps = Lengths(operand(node, 0), 0, 2)
    recurrence = (steps, Lengths(operand(node, 2)))
    if rest_of(node) is not None:  # a product before it has multiplied the input
        return (recurrence,)
    return ((steps, Lengths(operand(node, 1))), recurrence)


for _op_type in ("GRU", "LSTM", "RNN"):
    register(
        OperatorSpec(
            _op_type,
            title="narrow input",
            weights=(1,),
            kept=(2,),
            multiplications=_multiplications,
            variants=(_read,),
            sharing=Sharing(1, apart=True, transposed=False),
        )
    )
