"""The table of vector-Jacobian rules, by operator and opset."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import onnx_ir as ir

from onnx_factorize.passes.adjoint.step import Step

Cotangents: TypeAlias = Mapping[int, ir.Value | None]
"""Cotangents of a node's inputs by input index; one that is absent or None is zero."""

Rule: TypeAlias = Callable[[Step], Cotangents]

_RULES: dict[tuple[str, str], list[tuple[int, Rule]]] = {}
_ZERO: set[tuple[str, str]] = set()


def rule(*op_types: str, since: int = 1, domain: str = "") -> Callable[[Rule], Rule]:
    """Register a rule for operators of a domain, from an opset version on.

    Args:
        op_types: The operators that share the rule.
        since: The first opset whose semantics the rule implements. Of several rules of an
            operator the newest one not above the model's opset applies.
        domain: The operators' domain.
    """

    def register(function: Rule) -> Rule:
        for op_type in op_types:
            entries = _RULES.setdefault((domain, op_type), [])
            entries.append((since, function))
            entries.sort(key=lambda entry: entry[0])
        return function

    return register


def zero(*op_types: str, domain: str = "") -> None:
    """Register operators whose derivative is zero wherever it exists (or that yield integers)."""
    _ZERO.update((domain, op_type) for op_type in op_types)


def find(domain: str, op_type: str, opset: int) -> Rule | None:
    """Return the newest rule of an operator that is not above ``opset``."""
    best = None
    for since, function in _RULES.get((normal(domain), op_type), ()):
        if since <= opset:
            best = function
    return best


def is_zero(domain: str, op_type: str) -> bool:
    """Tell whether nothing flows back through an operator."""
    return (normal(domain), op_type) in _ZERO


def normal(domain: str) -> str:
    """Return a domain with its one alias resolved."""
    return "" if domain == "ai.onnx" else domain


def covered() -> dict[str, tuple[str, ...]]:
    """Return the operators with a rule, and those of zero derivative, by domain."""
    table: dict[str, set[str]] = {}
    for domain, op_type in (*_RULES, *_ZERO):
        table.setdefault(domain, set()).add(op_type)
    return {domain: tuple(sorted(names)) for domain, names in table.items()}
