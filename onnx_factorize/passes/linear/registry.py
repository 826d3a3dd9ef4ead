"""Registry of the linear operators."""

from __future__ import annotations

import onnx_ir as ir

from ...registering import check_free
from .marks import stands_for
from .operator_spec import OperatorSpec, named
from .target import Target
from .unfoldings import UNFOLDINGS

__all__ = ["every_operator", "operator_of", "register", "spec_of", "title_of"]

_OPERATORS: dict[str, OperatorSpec] = {}


def register(spec: OperatorSpec) -> OperatorSpec:
    """Adds an operator: from now on its nodes may be targets.

    Raises:
        ValueError: Another has that name.
    """
    check_free(_OPERATORS, spec, "linear operator")
    _OPERATORS[spec.name] = spec
    return spec


def every_operator() -> tuple[OperatorSpec, ...]:
    """All operators."""
    return tuple(_OPERATORS.values())


def spec_of(node: ir.Node) -> OperatorSpec | None:
    """The operator that a node is; None where it is none of these."""
    return _OPERATORS.get(named(node.domain, node.op_type))


def operator_of(target: Target) -> OperatorSpec:
    """The user's operator; the node may be a plain one that stands for it."""
    user = stands_for(target.node) or target.node
    return _OPERATORS[named(user.domain, user.op_type)]


def title_of(target: Target) -> str:
    """The name in reports of two factors of a target."""
    if target.is_own:
        return operator_of(target).title
    return UNFOLDINGS[target.unfolding.name].title
