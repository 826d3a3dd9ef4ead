"""Everything that the passes know of one linear operator: the seam of operators."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Protocol

import onnx_ir as ir

from ...graph import Namer
from .factors import Factors
from .layer import Layer
from .multiplications import Term
from .target import Target
from .variant import Variant

__all__ = ["MICROSOFT", "OperatorSpec", "Plain", "Sharing"]

MICROSOFT = "com.microsoft"

# From the model, the node and its name to the layer, or the reason why it is none.
_Find = Callable[[ir.Model, ir.Node, str], Layer | str]

# From the model, the node, its computed operand, its weight and the weight's shape to the variant,
# the reason why it is no target, or None where it is no such variant.
_Read = Callable[[ir.Model, ir.Node, ir.Value, ir.Value, tuple[int, ...]], Variant | str | None]


class _Rewriting(Protocol):
    """The signature of `Rewrite`."""

    def __call__(self, target: Target, factors: Factors) -> None:
        """Rewrites a target."""


@dataclasses.dataclass(frozen=True)
class Plain:
    """A plain operator, which variants are brought into: it can be read, and be emitted.

    Attributes:
        find: Reads a node as a layer, or says why it is none.
        rewrite: Emits linear maps of its kind, of which forms are made: a subclass of `Rewrite`.
        turn: When it is rewritten; below 0, before the variants. Initializers stand in that order.
    """

    find: _Find
    rewrite: Callable[[ir.Model, Namer], _Rewriting]
    turn: int


@dataclasses.dataclass(frozen=True)
class Sharing:
    """The way an operator shares its weight with others, so that all of them read its factors.

    Attributes:
        index: The input that holds the weight.
        apart: Whether it shares with operators of its own type alone.
        transposed: Whether it can read the transpose of what others read.
        alike: Whether all operators that say so must see the weight alike, transposed or not.
        scales: Tells whether a node multiplies the weight by a number, which its factors have.
    """

    index: int
    apart: bool = False
    transposed: bool = True
    alike: bool = False
    scales: Callable[[ir.Node], bool] = lambda _: False


@dataclasses.dataclass(frozen=True)
class OperatorSpec:
    """A linear operator: where its weight is, how it is read, rewritten, shared and counted.

    It is plain, or a node of it is a variant: what computes the same as a plain operator among ones
    that only move values (see `Variant`). One operator may be both: a MatMul with its constant on
    the left is a variant of one with its constant on the right.

    Attributes:
        op_type: The operator.
        domain: Its domain.
        weights: The inputs that may hold its weight, the usual one first.
        kept: Inputs that hold weights which stay as they are.
        title: The name in reports of two factors in its place, as it sees its weight itself.
        multiplications: The multiplications of a node.
        plain: How it is read and emitted, where it is a plain operator.
        variants: How a node is read as a variant: the first that fits.
        sharing: How others may share its weight; None where they may not.
        is_product: Whether its factor up is a product with a matrix, in its own unfolding, that can
            be fitted again.
        is_convolution: Whether its weight is a kernel.
        picks_rows: Whether it picks rows of its weight: an embedding.
        quantized: The modes of quantization that treat it (see `quantization`).
        is_listed: Tells of a node that is no target whether reports list it.
    """

    op_type: str
    title: str
    weights: tuple[int, ...]
    multiplications: Callable[[ir.Node], tuple[Term, ...] | None]
    domain: str = ""
    kept: tuple[int, ...] = ()
    plain: Plain | None = None
    variants: tuple[_Read, ...] = ()
    sharing: Sharing | None = None
    is_product: bool = True
    is_convolution: bool = False
    picks_rows: bool = False
    quantized: frozenset[str] = frozenset()
    is_listed: Callable[[ir.Node], bool] = lambda _: True

    @property
    def name(self) -> str:
        """The operator with its domain."""
        return named(self.domain, self.op_type)


def named(domain: str, op_type: str) -> str:
    """An operator with its domain, unless that is the standard one."""
    return f"{domain}.{op_type}" if domain else op_type
