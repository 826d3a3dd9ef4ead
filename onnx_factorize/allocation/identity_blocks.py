"""Which operators' factors are to be written as identity blocks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence

import onnx_ir as ir

from ..errors import InputError
from ..factorization.forms import form_that_cuts
from ..options import Options
from ..passes import Target, record
from ..passes.identity_blocks import WriteIdentityBlocks, identity_blocks_in, sides_of
from .calibrated import Calibrated
from .forms import cut_unfoldings

# What `--quantize` calls float16.
HALF = "fp16"

__all__ = [
    "as_identity_blocks",
    "as_pairs",
    "check_blocks",
    "not_written",
    "written_as_blocks",
]


def as_identity_blocks(
    model: ir.Model, targets: Sequence[Target], options: Options
) -> list[Target]:
    """The targets, marked where their factors are to be written as identity blocks.

    What is rounded to few bits stays a pair, for it would lose more than that saves, and in float16
    all that would not be exact in it; so do factors whose ranks training finds, until it has found
    them.

    Args:
        model: The normalised model.
        targets: Its targets.
        options: How factors are to be written.
    """
    return list(targets) if options.training.finds_ranks else _marked(model, targets, options)


def check_blocks(model: ir.Model, options: Options) -> None:
    """Checks that nothing is to be rounded to few bits that would not survive it.

    Raises:
        InputError: There is such.
    """
    if options.quantize not in (None, HALF) and options.factors == "identity":
        raise InputError("--quantize would ruin identity blocks: leave --factors identity out.")
    if options.quantize and identity_blocks_in(model):
        raise InputError(
            "The model holds identity blocks, which --quantize would ruin: turn them into pairs "
            "with the command 'onnx-factorize convert', and quantize those."
        )


def _marked(model: ir.Model, targets: Sequence[Target], options: Options) -> list[Target]:
    """The targets, marked, whether training finds their ranks or not."""
    served = options.device is None or options.device.identity_blocks
    if options.factors == "pair" or (options.factors == "auto" and not served):
        return list(targets)
    if options.quantize not in (None, HALF):
        return list(targets)
    block_type = "float16" if options.quantize == HALF else None
    return [
        _all_of(target, lambda each: bool(sides_of(model, each)), block_type) for target in targets
    ]


def _all_of(
    target: Target, identity: Callable[[Target], bool], block_type: str | None = None
) -> Target:
    """A target, all of whose unfoldings are asked."""
    own, *others = (
        dataclasses.replace(each, identity=identity(each), block_type=block_type)
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
    return [
        _all_of(target, lambda _: False) if target.operator in operators else target
        for target in targets
    ]


def written_as_blocks(
    known: Calibrated, model: ir.Model, ranks: Mapping[str, int], options: Options
) -> Calibrated:
    """Writes the factors of a model that was trained as identity blocks, those that are to be so.

    Args:
        known: The calibrated model.
        model: What was made of it, with pairs of factors; it is changed.
        ranks: Unfolding name to rank.
        options: How factors are to be written.

    Returns:
        The calibrated model, whose targets are marked by what was written.
    """
    targets = _marked(known.normal, known.targets, options)
    cut = [taken for target in targets if (taken := cut_unfoldings(target, ranks))]
    forms = {taken[0].operator: form_that_cuts(taken) for taken in cut}
    wanted = {name: form.block_type for name, form in forms.items() if form.identity}
    if wanted:
        WriteIdentityBlocks(wanted)(model)
        record(model)
    pairs = wanted.keys() - identity_blocks_in(model)
    return dataclasses.replace(known, targets=as_pairs(targets, pairs))
