"""The registry of vector-Jacobian rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import onnx_ir as ir

from onnx_factorize.graph.registry import Registry, standard
from onnx_factorize.passes.adjoint.step import Step

Cotangents: TypeAlias = Mapping[int, ir.Value | None]
"""Cotangents of a node's inputs by input index; one that is absent or None is zero."""

Rule: TypeAlias = Callable[[Step], Cotangents]

RULES = Registry[Rule]()
_ZERO: set[tuple[str, str]] = set()


def rule(
    *op_types: str, since: int = 1, domain: str = "", spans: Mapping[int, str] | None = None
) -> Callable[[Rule], Rule]:
    """Register a rule for operators of a domain, from an opset version on.

    Args:
        op_types: The operators that share the rule.
        since: The first opset whose semantics the rule implements. Of several rules of an
            operator the newest one not above the model's opset applies.
        domain: The operators' domain.
        spans: Later versions that changed the operator and that the rule serves, too: how.
    """

    def register(function: Rule) -> Rule:
        RULES.add(function, *op_types, since=since, domain=domain, spans=spans)
        return function

    return register


def zero(*op_types: str, domain: str = "") -> None:
    """Register operators whose derivative is zero wherever it exists (or that yield integers)."""
    _ZERO.update((domain, op_type) for op_type in op_types)


def is_zero(domain: str, op_type: str) -> bool:
    """Tell whether nothing flows back through an operator."""
    return (standard(domain), op_type) in _ZERO
