"""Targets: linear operators with constant weights, seen as matrix products."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Container
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from ...arrays import Array
from .convolution import Convolution
from .layer import Layer
from .module_path import module_path
from .provenance import Provenance
from .unfoldings import UNFOLDINGS, Unfolding

__all__ = ["Side", "Skipped", "Target", "TiedGroup", "other_side", "target_of"]

Side = Literal["input", "output"]


@dataclasses.dataclass(frozen=True, eq=False)
class TiedGroup:
    """The layers that read one weight, and get the same factors.

    None has its bias corrected, for the factors serve all.

    Attributes:
        layers: The layers; the first stands for all of them.
        flipped: The names of those that read the transpose of what the first reads.
        side: The side on which the first is observed: the others are on that of the same weights.
    """

    layers: tuple[Layer, ...]
    flipped: frozenset[str]
    side: Side

    def side_of(self, name: str) -> Side:
        """The side on which one of them is observed."""
        return other_side(self.side) if name in self.flipped else self.side


@dataclasses.dataclass(frozen=True, eq=False)
class Target:
    """A layer whose weight is seen in one unfolding: `y = x W`, group by group.

    Attributes:
        name: Unique in the model: the layer's, or one made from that and the unfolding's.
        layer: The operator, as the graph has it.
        unfolding: How its weight is seen as a matrix.
        group: The layers that read the same weight; None where no other does.
        unfoldings: Further unfoldings of the layer, each for another form.
        forms: The names of the forms in which it may be cut; empty for all.
        identity: Whether its factors are written as an identity block.
        block_type: The type that such a block is stored in, and must be exact in, as numpy
            calls it; None for that of the weight.
    """

    name: str
    layer: Layer
    unfolding: Unfolding
    group: TiedGroup | None = None
    unfoldings: tuple[Target, ...] = ()
    forms: tuple[str, ...] = ()
    identity: bool = False
    block_type: str | None = None

    @property
    def operator(self) -> str:
        """The name of the operator, whichever unfolding of it this is."""
        return self.layer.name

    @property
    def module(self) -> str | None:
        """The path of the module that it was exported from, where the exporter says so."""
        return module_path(self.node)

    @property
    def is_own(self) -> bool:
        """Tells whether this is the operator's own unfolding."""
        return self.unfolding.is_own

    @property
    def own(self) -> Target:
        """The target of the operator's own unfolding, whichever unfolding of it this is."""
        return self if self.is_own else target_of(self.layer, self.group)

    @property
    def op_type(self) -> str:
        """The user's operator; the node may be a plain one that stands for it."""
        return self.layer.op_type

    @property
    def stands(self) -> bool:
        """Tells whether the node is the user's, and stands for no operator of another kind."""
        return self.layer.stands

    @property
    def node(self) -> ir.Node:
        """The layer's node. Only passes touch it."""
        return self.layer.node

    @property
    def x(self) -> ir.Value:
        """The value that the layer reads."""
        return self.layer.x

    @property
    def weight(self) -> ir.Value:
        """The initializer that holds the weight."""
        return self.layer.weight

    @property
    def convolution(self) -> Convolution | None:
        """The way rows are made of a convolution's input; None for a matrix product."""
        return self.unfolding.convolution

    @property
    def embedding(self) -> bool:
        """Tells whether `x` holds indices of the weight's rows: one-hot rows, never written out."""
        return self.layer.embedding

    @property
    def transposed_input(self) -> bool:
        """Tells whether rows of `x` are its columns (Gemm with `transA`)."""
        return self.layer.transposed_input

    @property
    def groups(self) -> int:
        """The number of independent matrix products."""
        return self.layer.groups

    @property
    def rows(self) -> int:
        """K, the length of a row of `x` in one group (of an im2col row for a convolution)."""
        return self.unfolding.rows

    @property
    def columns(self) -> int:
        """N, the number of outputs of one group."""
        return self.unfolding.columns

    @property
    def params(self) -> int:
        """Number of weights (the bias is not counted: no form changes it)."""
        return self.layer.params

    @property
    def itemsize(self) -> int:
        """Bytes of one weight, as it is stored."""
        return self.layer.itemsize

    @property
    def full_rank(self) -> int:
        """The largest rank that the weight can have, in one group."""
        return min(self.rows, self.columns)

    @property
    def bias(self) -> Array | None:
        """The bias that the layer adds to `x W` (see `Layer`); None in further unfoldings."""
        return self.layer.bias if self.is_own else None

    @property
    def centred(self) -> bool:
        """Tells whether a bias can absorb the mean of the approximation's error."""
        return self.layer.centred and self.is_own and self.group is None

    @functools.cached_property
    def tied(self) -> tuple[Target, ...]:
        """The other targets of the group that this one stands for, which get the same factors."""
        if self.group is None or self.group.layers[0] is not self.layer:
            return ()
        return tuple(target_of(each, self.group) for each in self.group.layers[1:])

    @property
    def uses(self) -> tuple[Target, ...]:
        """The target and those tied to it."""
        return (self, *self.tied)

    @property
    def flipped(self) -> bool:
        """Tells whether it reads the transpose of what the first of its group reads."""
        return self.group is not None and self.name in self.group.flipped

    @property
    def side(self) -> Side:
        """The side on which the target is narrower, and so is observed.

        Everything that a whitened decomposition needs of the data fits in matrices of the smaller
        of K and N: the moments of `y = x W` and of its gradient g where N is the smaller, those
        of x and of `W g` where K is.
        """
        if self.group is not None:
            return self.group.side_of(self.name)
        if self.embedding:
            return "output"
        return "output" if self.columns <= self.rows and self.bias is not None else "input"

    @property
    def width(self) -> int:
        """Length of a row, in one group, on the side that is observed."""
        return self.columns if self.side == "output" else self.rows

    def factor_params(self, rank: int) -> int:
        """Number of weights once factorized at the given rank."""
        zeros = any(use.layer.zeros for use in self.uses)
        return self.groups * rank * (self.rows + self.columns + int(zeros))

    def factor_macs(self, rank: npt.ArrayLike, macs: int) -> Array:
        """Multiplications once factorized, of so many when dense; about as many at borders."""
        places = macs / self.params
        both = self.unfolding.stretch * self.rows + self.columns
        return np.asarray(places * self.groups * both * np.asarray(rank, np.float64))

    def matrices(self) -> Array:
        """The weight as float64 matrices, `scale` included, shape (groups, K, N)."""
        assert self.weight.const_value is not None
        weight = self.weight.const_value.numpy().astype(np.float64)
        if self.convolution is not None:
            return self.unfolding.of_kernel(weight, self.groups)
        straight = weight.T if self.layer.transposed_weight else weight
        return np.ascontiguousarray(self.layer.scale * straight)[None]

    def stored(self, matrices: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Matrices of shape (groups, K, N) as the initializer holds them: see `matrices`."""
        assert self.weight.const_value is not None
        shape = self.weight.const_value.shape.numpy()
        if self.convolution is not None:
            return self.unfolding.to_kernel(matrices, shape)
        straight = matrices[0] / self.layer.scale if self.layer.scale else 0 * matrices[0]
        return np.ascontiguousarray(straight.T if self.layer.transposed_weight else straight)

    def unfolded(self, taken: Container[str]) -> Target:
        """The target with the further unfoldings of its weight in which some rank makes it smaller.

        Args:
            taken: Names that other operators have.
        """
        if self.tied:
            return self
        found = [(kind, kind.of(self.unfolding)) for kind in UNFOLDINGS.values()]
        targets = [
            Target(_free(f"{self.name} ({kind.name})", taken), self.layer, unfolding, self.group)
            for kind, unfolding in found
            if unfolding is not None
        ]
        return self.limited(tuple(t for t in targets if t.factor_params(1) < t.params))

    def limited(self, unfoldings: tuple[Target, ...] = (), forms: tuple[str, ...] = ()) -> Target:
        """The target with other further unfoldings, and in these forms alone."""
        return dataclasses.replace(self, unfoldings=unfoldings, forms=forms)


def target_of(layer: Layer, group: TiedGroup | None = None) -> Target:
    """A layer in its own unfolding.

    Args:
        layer: The layer.
        group: The layers that read the same weight, if others do.
    """
    return Target(layer.name, layer, layer.own, group)


def _free(name: str, taken: Container[str]) -> str:
    while name in taken:
        name += "'"
    return name


def other_side(side: Side) -> Side:
    """The opposite of a side."""
    return "input" if side == "output" else "output"


@dataclasses.dataclass(frozen=True)
class Skipped:
    """A linear operator that is not a target, and why.

    Attributes:
        name: The node's name, or one made from its operator and output.
        op_type: The operator.
        params: Weights that it holds (0 where both operands are computed); those that several
            operators share are counted with the first.
        reason: One clause that a user understands.
        provenance: What it was before this tool rewrote it, if it did.
        counted: Whether a budget of targets counts its weights: an optimizer or a quantizer hides
            them, or nothing is known of the operator.
        module: The path of the module that it was exported from, where the exporter says so.
    """

    name: str
    op_type: str
    params: int
    reason: str
    provenance: Provenance | None = None
    counted: bool = False
    module: str | None = None
