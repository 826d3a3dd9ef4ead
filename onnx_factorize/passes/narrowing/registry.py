"""The registry of rules: which axes of an operator's inputs and outputs hold the same channels."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from ...graph.registry import Registry
from .step import Step

__all__ = ["RULES", "Rule", "rule"]

Rule: TypeAlias = Callable[[Step], None]

RULES = Registry[Rule]()


def rule(*op_types: str, since: int = 1, domain: str = "") -> Callable[[Rule], Rule]:
    """Registers a rule for operators of a domain, from an opset version on.

    A rule is asked of one axis of one operand at a time, from whichever side channels come. It
    joins that axis with those of the other operands that hold the same channels, or blocks it.

    Args:
        op_types: The operators that share the rule.
        since: The first opset whose semantics the rule implements. Of several rules of an
            operator the newest one not above the model's opset applies.
        domain: The operators' domain.
    """

    def register(function: Rule) -> Rule:
        RULES.add(function, *op_types, since=since, domain=domain)
        return function

    return register
