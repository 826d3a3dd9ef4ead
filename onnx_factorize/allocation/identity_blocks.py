"""Which operators' factors are to be written as identity blocks."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence

import onnx_ir as ir

from ..factorization.forms import form_that_cuts
from ..options import Options
from ..passes import Target
from ..passes.identity_blocks import identity_blocks_in, sides_of

__all__ = ["as_identity_blocks", "as_pairs", "not_written"]


def as_identity_blocks(
    model: ir.Model, targets: Sequence[Target], options: Options
) -> list[Target]:
    """The targets, marked where their factors are to be written as identity blocks.

    What is rounded to few bits stays a pair, for it would lose more than that saves; so do factors
    whose ranks training finds, until it has found them.

    Args:
        model: The normalised model.
        targets: Its targets.
        options: How factors are to be written.
    """
    if options.factors == "pair" or options.quantize or options.training.finds_ranks:
        return list(targets)
    return [_marked(model, target) for target in targets]


def _marked(model: ir.Model, target: Target) -> Target:
    own, *others = (
        dataclasses.replace(each, identity=bool(sides_of(model, each)))
        for each in (target, *target.unfoldings)
    )
    return own.limited(tuple(others), target.forms)


def not_written(model: ir.Model, cut: Sequence[Target]) -> set[str]:
    """The operators of which a model holds a pair of factors where an identity block was meant.

    Args:
        model: The model.
        cut: What was to be written as identity blocks.
    """
    if not cut:
        return set()
    own = {each.operator for each in cut if form_that_cuts([each]).identity}
    return own - identity_blocks_in(model)


def as_pairs(targets: Sequence[Target], operators: Collection[str]) -> list[Target]:
    """The same targets, of which the factors of some operators are to stay pairs."""
    return [_paired(target) if target.operator in operators else target for target in targets]


def _paired(target: Target) -> Target:
    own, *others = (
        dataclasses.replace(each, identity=False) for each in (target, *target.unfoldings)
    )
    return own.limited(tuple(others), target.forms)
