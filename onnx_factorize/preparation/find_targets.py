"""Targets of a model: by its own doing, the user's wish, and what can be measured."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import onnx_ir as ir

from ..errors import InputError
from ..options import Options
from ..outputs.selection import Selected
from ..passes import (
    FindConstants,
    FindTargets,
    LiftWeights,
    Skipped,
    Target,
    upstream,
    with_outputs,
)
from ..runtime.paging import spill_large
from .kept_from import kept_from

__all__ = ["find_targets", "hidden_params"]


def find_targets(
    model: ir.Model, outputs: Collection[str], chosen: Selected | None, options: Options
) -> tuple[ir.Model, list[Target], list[Skipped], list[Skipped]]:
    """Finds the targets of a model.

    Args:
        model: The model; it is not changed.
        outputs: The values by which models are compared.
        chosen: Outputs that are what a selection chose; None where there are none.
        options: What the user includes and excludes.

    Returns:
        The normalised model, its targets, what is no target, and what is left out of the targets.

    Raises:
        InputError: There is nothing to factorize.
    """
    normal = with_outputs(model, outputs).clone()
    LiftWeights()(normal)
    spill_large(normal)  # what is turned or cast is computed once
    finder = FindTargets()
    finder(normal)
    others = FindConstants(finder)
    others(normal)
    targets, excluded = _chosen(finder.targets, options)
    if chosen is not None:
        # A detector's second stage runs on what the first one chose: nothing measures it.
        nodes = upstream(normal, outputs)
        selections = ", ".join(dict.fromkeys(chosen.behind.values()))
        reason = f"acts only behind {selections}, where models cannot be compared"
        unseen = [target for target in targets if target.node not in nodes]
        excluded += [skip for target in unseen for skip in _left_out(target, reason)]
        targets = [target for target in targets if target.node in nodes]
    if not targets:
        raise InputError(_no_targets(len(finder.targets), finder.skipped))
    return normal, targets, [*finder.skipped, *others.skipped], excluded


def hidden_params(skipped: Sequence[Skipped], options: Options) -> int:
    """Weights that a budget of targets counts though none of them can be cut."""
    counted = (each for each in skipped if each.counted)
    return sum(
        each.params
        for each in counted
        if options.excluded(each.name, each.op_type, each.module) is None
    )


def _chosen(targets: Sequence[Target], options: Options) -> tuple[list[Target], list[Skipped]]:
    """Splits targets into those to treat and those that the user excluded."""
    chosen, left = [], []
    for target in targets:
        # Operators that share a weight are treated together or not at all.
        reasons = (_left_alone(use, options) for use in target.uses)
        reason = next(filter(None, reasons), None)
        if reason is None:
            chosen.append(target)
            continue
        left += _left_out(target, reason)
    return chosen, left


def _left_out(target: Target, reason: str) -> list[Skipped]:
    """A target that is left alone: the parameters are of the first operator that reads them."""
    return [
        Skipped(
            use.name,
            use.op_type,
            target.params if use is target else 0,
            reason,
            module=use.module,
        )
        for use in target.uses
    ]


def _left_alone(use: Target, options: Options) -> str | None:
    """The reason why an operator is left alone: the user's wish, or the device's."""
    reason = options.excluded(use.name, use.op_type, use.module)
    if reason is None and options.device is not None:
        reason = kept_from(options.device, use)
    return reason


def _no_targets(found: int, skipped: Sequence[Skipped]) -> str:
    if found:
        return (
            f"All {found} factorizable operators are excluded by --include, --exclude, --op-type "
            "or --deploy-to."
        )
    said = f"The model has nothing to factorize: {len(skipped)} linear operators were skipped"
    if len({skip.reason for skip in skipped}) == 1:
        return f"{said} ('{skipped[0].name}': {skipped[0].reason})."
    return f"{said}; `onnx-factorize inspect` says why."
