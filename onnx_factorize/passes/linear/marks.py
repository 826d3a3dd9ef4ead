"""Marks in the meta of nodes and values, which passes leave for one another; none is written."""

from __future__ import annotations

import dataclasses

import onnx_ir as ir

__all__ = [
    "Rest",
    "SharedWeight",
    "StandsFor",
    "factor_of",
    "is_centred",
    "is_helper",
    "mark",
    "mark_factor",
    "mark_helper",
    "mark_stored",
    "rest_of",
    "shared_weight",
    "source_of",
    "stands_for",
    "stored_type",
]

_HELPER = "helper"
_FACTOR = "factor of"
_STORED = "stored"


@dataclasses.dataclass(frozen=True)
class StandsFor:
    """Of a plain node in the place of a variant: what the user's node is.

    Attributes:
        op_type: The operator.
        domain: Its domain.
        centred: Whether what is beside it may absorb the mean of an error.
    """

    op_type: str
    domain: str
    centred: bool = True


@dataclasses.dataclass(frozen=True)
class Rest:
    """Of a node that stays behind a product with one of its weights: what is left of it.

    Attributes:
        inputs: The inputs that hold the weights that it still has.
        reason: Why those are not factorized.
    """

    inputs: tuple[int, ...]
    reason: str


@dataclasses.dataclass(frozen=True)
class SharedWeight:
    """Of an initializer that one of several operators got of the weight that all of them read.

    Attributes:
        name: The name of that weight.
        turned: Whether this operator reads it transposed.
    """

    name: str
    turned: bool


def mark(holder: ir.Node | ir.Value, what: StandsFor | Rest | SharedWeight) -> None:
    """Leaves a mark, one of each kind."""
    holder.meta[type(what).__name__] = what


def stands_for(node: ir.Node) -> StandsFor | None:
    """The user's operator, where a node stands for one of another kind."""
    found = node.meta.get(StandsFor.__name__)
    return found if isinstance(found, StandsFor) else None


def is_centred(node: ir.Node) -> bool:
    """Tells whether what is beside a node may absorb the mean of an error."""
    user = stands_for(node)
    return user is None or user.centred


def rest_of(node: ir.Node) -> Rest | None:
    """The mark of a node that stays behind a product (see `Rest`), or None."""
    found = node.meta.get(Rest.__name__)
    return found if isinstance(found, Rest) else None


def shared_weight(value: ir.Value) -> SharedWeight | None:
    """The weight of several operators that a value stands for."""
    found = value.meta.get(SharedWeight.__name__)
    return found if isinstance(found, SharedWeight) else None


def source_of(value: ir.Value) -> ir.Value | str:
    """A constant, or the name of the shared weight that it stands for."""
    shared = shared_weight(value)
    return value if shared is None else shared.name


def mark_helper(node: ir.Node) -> None:
    """Says of a node that it only moves values: it is no target and costs nothing."""
    node.meta[_HELPER] = True


def is_helper(node: ir.Node) -> bool:
    """Tells whether a node is marked as one that only moves values."""
    return _HELPER in node.meta


def mark_factor(value: ir.Value, name: str) -> None:
    """Says of an initializer that it is a factor of a shared weight of that name."""
    value.meta[_FACTOR] = name


def factor_of(value: ir.Value) -> str | None:
    """The name of the shared weight whose factor it is, if it is one."""
    found = value.meta.get(_FACTOR)
    return found if isinstance(found, str) else None


def mark_stored(value: ir.Value, dtype: ir.DataType) -> None:
    """Says in which type a weight is stored that is converted before it is read."""
    value.meta[_STORED] = dtype


def stored_type(value: ir.Value) -> ir.DataType:
    """The type in which a weight is stored."""
    found = value.meta.get(_STORED, value.dtype)
    assert isinstance(found, ir.DataType)
    return found
