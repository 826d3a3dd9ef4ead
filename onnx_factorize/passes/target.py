"""What a target is: a linear operator with constant weights, seen as a matrix product."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from .convolution import Convolution
from .provenance import Provenance

__all__ = ["Chain", "Factors", "Skipped", "Target"]

Array = npt.NDArray[np.float64]


@dataclasses.dataclass(eq=False)
class Target:
    """A node that computes `y = x W`, group by group, with a constant `W`.

    Attributes:
        name: Unique in the model: the node's name, or one made from its operator and output.
        node: The node itself. Only passes touch it.
        x: The value whose rows the weight multiplies.
        weight: The initializer that holds the weight.
        groups: Number of independent matrix products (a convolution's `group`, else 1).
        rows: K, the length of a row of `x` in one group (of an im2col row for a convolution).
        columns: N, the number of outputs of one group.
        centred: Whether a bias can absorb the mean of the approximation's error.
        transposed_input: Whether rows of `x` are its columns (Gemm with `transA`).
        scale: What the node multiplies the weight by (Gemm's `alpha`).
        bias: What the node itself adds to `x W`, one number a column; zero without a bias, None
            where it is not constant over rows or not known.
        convolution: The convolution's attributes, None for a matrix product.
        view: Which way of seeing the weight this is: empty for the operator's own (see `views`).
        view_of: The target of the operator's own view, where this is a further one.
        views: Further views of the operator, each for another form.
        leading: Axes of the kernel in the rows of a view; the others are in its columns.
        stretch: Places of the first factor for each place of the second, in a view.
        forms: The names of the forms in which it may be cut; empty for all.
        lookup: Whether `x` holds indices of rows of the weight: one-hot rows, never written out.
        siblings: Targets that read the same weight, and get the same factors.
        flipped: Whether it reads the transpose of what the first of its siblings reads.
        sided: The side on which siblings are observed, where it is not theirs to choose.
    """

    name: str
    node: ir.Node
    x: ir.Value
    weight: ir.Value
    groups: int
    rows: int
    columns: int
    centred: bool
    transposed_input: bool = False
    scale: float = 1.0
    bias: Array | None = None
    convolution: Convolution | None = None
    lookup: bool = False
    view: str = ""
    view_of: Target | None = None
    views: tuple[Target, ...] = ()
    leading: int = 0
    stretch: float = 1.0
    forms: tuple[str, ...] = ()
    siblings: tuple[Target, ...] = ()
    flipped: bool = False
    sided: Literal["input", "output"] | None = None

    @property
    def operator(self) -> str:
        """The name of the operator, whichever view of it this is."""
        return self.name if self.view_of is None else self.view_of.name

    @property
    def own(self) -> Target:
        """The target of the operator's own view, whichever view of it this is."""
        return self if self.view_of is None else self.view_of

    @property
    def stands(self) -> bool:
        """Whether the node is the user's, and stands for no operator of another kind."""
        return "operator" not in self.node.meta

    @property
    def uses(self) -> tuple[Target, ...]:
        """The target and its siblings."""
        return (self, *self.siblings)

    @property
    def op_type(self) -> str:
        """The user's operator; the node may be a plain one that stands for it."""
        return str(self.node.meta.get("operator", self.node.op_type))

    @property
    def params(self) -> int:
        """Number of weights (the bias is not counted: no form changes it)."""
        return self.groups * self.rows * self.columns

    @property
    def full_rank(self) -> int:
        """The largest rank that the weight can have, in one group."""
        return min(self.rows, self.columns)

    @property
    def side(self) -> Literal["input", "output"]:
        """Where the target is narrower, and so is observed.

        Everything that a whitened decomposition needs of the data fits in matrices of the smaller
        of K and N: the moments of `y = x W` and of its gradient g where N is the smaller, those
        of x and of `W g` where K is.
        """
        if self.lookup or self.sided is not None:
            return self.sided or "output"
        return "output" if self.columns <= self.rows and self.bias is not None else "input"

    @property
    def width(self) -> int:
        """Length of a row, in one group, on the side that is observed."""
        return self.columns if self.side == "output" else self.rows

    @property
    def itemsize(self) -> int:
        """Bytes of one weight, as it is stored."""
        stored = self.weight.meta.get("stored", self.weight.dtype)
        assert isinstance(stored, ir.DataType)
        return int(stored.itemsize)

    def factor_params(self, rank: int) -> int:
        """Number of weights once factorized at the given rank."""
        return self.groups * rank * (self.rows + self.columns + int(self._zeros))

    @functools.cached_property
    def _zeros(self) -> bool:
        """Whether a row of zeros comes with the factors: see `RewriteGemm`.

        A product with its constant on the left has none.
        """
        return any(u.weight_is_transposed and "uncentred" not in u.node.meta for u in self.uses)

    def factor_macs(self, rank: npt.ArrayLike, macs: int) -> Array:
        """Multiplications once factorized, of so many when dense; about as many at borders."""
        places = macs / self.params
        both = self.stretch * self.rows + self.columns
        return np.asarray(places * self.groups * both * np.asarray(rank, np.float64))

    def matrices(self) -> Array:
        """The weight as float64 matrices, `scale` included, shape (groups, K, N)."""
        assert self.weight.const_value is not None
        weight = self.weight.const_value.numpy().astype(np.float64)
        if self.view:
            return self._viewed(weight)
        if self.convolution is not None:
            stacked = weight.reshape(self.groups, self.columns, self.rows)
            return np.ascontiguousarray(stacked.transpose(0, 2, 1))
        straight = weight.T if self.weight_is_transposed else weight
        return np.ascontiguousarray(self.scale * straight)[None]

    def _viewed(self, weight: Array) -> Array:
        """A kernel as the matrices of a view."""
        outer, inner, *kernel = weight.shape
        leading = math.prod(kernel[: self.leading])
        split = weight.reshape(self.groups, outer // self.groups, inner, leading, -1)
        moved = split.transpose(0, 2, 3, 1, 4)
        return np.ascontiguousarray(moved.reshape(self.groups, self.rows, self.columns))

    @property
    def weight_is_transposed(self) -> bool:
        """Whether the initializer is stored N x K (Gemm with `transB`)."""
        return bool(self.node.op_type == "Gemm" and self.node.attributes.get_int("transB", 0))


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
    """

    name: str
    op_type: str
    params: int
    reason: str
    provenance: Provenance | None = None
    counted: bool = False


class Chain(Protocol):
    """A small chain of linear maps, Split, Concat and Add in the place of one operator."""

    def title(self, target: Target) -> str:
        """The name of the form in reports, and in the metadata of what was rewritten."""

    def write(self, operator: Any, target: Target, factors: Factors) -> None:
        """Writes the chain: `operator`, a `Rewrite`, emits linear maps of the target's kind."""


@dataclasses.dataclass(frozen=True)
class Factors:
    """Two matrices a group whose product replaces the weight.

    Tucker-2 has a third between them, for each element of the kernel: then K is the number of
    input channels only.

    Attributes:
        first: Shape (groups, K, rank).
        second: Shape (groups, rank, N).
        core: Shape (groups, input rank, kernel elements, rank); `first` then has the input rank.
        inverse: Of `second` beside a core, in the metric of the output: shape (groups, N, rank);
            `second @ inverse` is the identity.
        operator: The name of the operator where factors are those of a further view of it.
        chain: How they become operators; two linear maps of the target's own kind by default.
        bias_shift: Shape (groups * N,): what the bias must add so that the mean of the output is
            kept; None where the target has no place for it.
    """

    first: Array
    second: Array
    bias_shift: Array | None = None
    core: Array | None = None
    inverse: Array | None = None
    operator: str | None = None
    chain: Chain | None = None

    @property
    def rank(self) -> int:
        """The rank of one group; that of the output where there are two."""
        return int(self.second.shape[1])

    @property
    def flipped(self) -> Factors:
        """The factors of the transpose."""
        return Factors(self.second.transpose(0, 2, 1), self.first.transpose(0, 2, 1))
