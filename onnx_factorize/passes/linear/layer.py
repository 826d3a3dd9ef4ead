"""A linear operator with a constant weight, as the graph has it."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from .marks import stands_for, stored_type
from .unfoldings import Unfolding

__all__ = ["Layer"]


@dataclasses.dataclass(frozen=True, eq=False)
class Layer:
    """A node that computes `y = x W`, group by group, with a constant `W`.

    Attributes:
        name: Unique in the model: the node's name, or one made from its operator and output.
        node: The node itself. Only passes touch it.
        x: The value whose rows the weight multiplies.
        weight: The initializer that holds the weight.
        own: The unfolding of the weight that the operator itself multiplies by.
        centred: Whether a bias can absorb the mean of the approximation's error.
        bias: What the node itself adds to `x W`, one number a column; zero without a bias, None
            where it is not constant over rows or not known.
        groups: Number of independent matrix products (a convolution's `group`, else 1).
        scale: What the node multiplies the weight by (Gemm's `alpha`).
        transposed_input: Whether rows of `x` are its columns (Gemm with `transA`).
        transposed_weight: Whether the initializer is stored N x K (Gemm with `transB`).
        zeros: Whether a row of zeros comes with the factors: see `RewriteGemm`.
        embedding: Whether `x` holds indices of rows of the weight: one-hot rows, never written out.
    """

    name: str
    node: ir.Node
    x: ir.Value
    weight: ir.Value
    own: Unfolding
    centred: bool
    bias: npt.NDArray[np.float64] | None
    groups: int = 1
    scale: float = 1.0
    transposed_input: bool = False
    transposed_weight: bool = False
    zeros: bool = False
    embedding: bool = False

    @property
    def op_type(self) -> str:
        """The user's operator; the node may be a plain one that stands for it."""
        user = stands_for(self.node)
        return self.node.op_type if user is None else user.op_type

    @property
    def stands(self) -> bool:
        """Tells whether the node is the user's, and stands for no operator of another kind."""
        return stands_for(self.node) is None

    @property
    def params(self) -> int:
        """Number of weights (the bias is not counted: no form changes it)."""
        return self.groups * self.own.rows * self.own.columns

    @property
    def itemsize(self) -> int:
        """Bytes of one weight, as it is stored."""
        return int(stored_type(self.weight).itemsize)
