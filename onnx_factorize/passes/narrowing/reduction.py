"""Reductions over other axes."""

from __future__ import annotations

from .operand import Operand
from .registry import rule
from .step import Step

_KINDS = "L1 L2 LogSum LogSumExp Max Mean Min Prod Sum SumSquare"


@rule(*(f"Reduce{kind}" for kind in _KINDS.split()))
def reduce(step: Step) -> None:
    """Axes that are not reduced stay, unless those before them go."""
    axes = list(step.node.attributes.get_ints("axes", ()))
    found = axes or step.integers(1)
    rank = step.rank(Operand(step.node, 0))
    if found is None or rank is None:
        step.block(f"the axes of {step.name} are not constant")
        return
    every = 0 if step.node.attributes.get_int("noop_with_empty_axes", 0) else rank
    _around(step, {axis % rank for axis in found or range(every)}, rank)


@rule("ArgMax", "ArgMin")
def arg(step: Step) -> None:
    """One axis is searched."""
    rank = step.rank(Operand(step.node, 0))
    if rank is None:
        step.block(f"nothing is known of the shape that {step.name} reads")
        return
    _around(step, {step.node.attributes.get_int("axis", 0) % rank}, rank)


def _around(step: Step, gone: set[int], rank: int) -> None:
    x, y = Operand(step.node, 0), step.output()
    keeps = bool(step.node.attributes.get_int("keepdims", 1))
    stays = [axis for axis in range(rank) if keeps or axis not in gone]
    if step.at == y:
        step.same(x, stays[step.axis])
    elif step.axis in gone or step.at != x:
        step.mixes()
    else:
        step.same(y, stays.index(step.axis))
