"""Warnings about a run, one sentence each."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence

from ..allocation.analysis import Analysis, idle_operators
from ..allocation.plan import Plan
from ..calibration import CalibrationData
from ..errors import named
from ..factorization.forms import unfoldings_of
from ..options import FOLDS
from ..passes import Skipped, Target
from ..runtime.interleaved import Ratio
from ..units import size

__all__ = ["hidden_weights", "never_ran", "warnings_of"]

# Predicted and measured divergence further apart are worth a warning, unless both are nothing.
_ALARM = 4.0
_NEGLIGIBLE = 1e-3

# Samples to ask for, as a multiple of those that just end the warning of too few.
_MARGIN = 1.5

# Share of the model in weights that cannot be read that is worth a warning.
_HIDDEN = 0.05


def warnings_of(
    targets: Sequence[Target],
    analysis: Analysis,
    data: CalibrationData,
    plan: Plan,
    measured: float,
    time: Ratio | None,
    untrained: float | None,
) -> list[str]:
    """Warnings for the user, one sentence each.

    Args:
        targets: The targets.
        analysis: What is known of them.
        data: The calibration data.
        plan: What was cut.
        measured: The divergence of held-out samples.
        time: Latency of the result as a share of the dense model's; None where that of another
            device counts.
        untrained: The divergence of held-out samples before training; None without.
    """
    return [
        *_of_data(targets, analysis, data),
        *_of_result(plan, measured, time, untrained),
        *_of_idle(idle_operators(targets, analysis)),
    ]


def _of_data(targets: Sequence[Target], analysis: Analysis, data: CalibrationData) -> Iterator[str]:
    """Warnings about data that do not tell, or not well enough."""
    statistics = analysis.statistics
    if data.shares_holdout:
        yield (
            "No samples were held out, so the result was verified on what it was calibrated on; "
            "give at least two samples and a --holdout above 0."
        )
    rows = {t.name: statistics[t.name].count for t in targets if t.name in statistics}
    starved = {
        target.name: target.width / rows[target.name]
        for target in targets
        if 0 < rows.get(target.name, 0) < target.width
    }
    if starved:
        worst = max(starved, key=lambda name: starved[name])
        yield (
            f"{data.calibration_samples} calibration samples are too few for {len(starved)} of "
            f"{len(targets)} targets (the worst is '{worst}'); {_enough(starved[worst], data)}."
        )
    yield from _of_memory(targets, data)
    # What stays dense is weighted in no way.
    unreachable = _by_operator(targets, analysis.unreachable.keys() - analysis.never_ran)
    if unreachable:
        name, first = next(iter(unreachable.items()))
        reason = analysis.unreachable[first]
        yield (
            f"{len(unreachable)} of the operators have no gradient, and are weighted "
            f"{analysis.weighting.instead}; the first is '{name}': {reason}."
        )


def _of_memory(targets: Sequence[Target], data: CalibrationData) -> Iterator[str]:
    """A warning where one operator alone takes more memory than a pass may take."""

    def taken(target: Target) -> float:
        # Two moments, of each fold and of all.
        return 2.0 * 8 * (FOLDS + 1) * target.groups * target.width**2

    largest = max(targets, key=taken, default=None)
    if largest is not None and taken(largest) > data.memory.operators:
        takes, leaves = size(taken(largest)), size(data.memory.operators)
        yield (
            f"The moments of '{largest.name}' alone took {takes}, and --memory leaves {leaves} for "
            "operators: give it four times as much as they take, or leave this one out by "
            "--exclude."
        )


def _of_result(
    plan: Plan, measured: float, time: Ratio | None, untrained: float | None
) -> Iterator[str]:
    """Warnings about a result that is not as it was expected to be, or hoped."""
    if plan.ended is not None:
        by = "--max-time" if plan.ended == "time" else "Ctrl-C"
        yield f"The search for ranks was cut short by {by}: the best plan so far was taken."
    if (
        plan.expected
        and not 1 / _ALARM < measured / plan.expected < _ALARM
        and plan.expected > _NEGLIGIBLE
    ):
        other = (
            "if the data hold many samples of few things, expect the former of new ones"
            if measured < plan.expected
            else "more calibration samples would help"
        )
        yield (
            f"Samples unlike those that made the factors diverge by {plan.expected:.2g}, held-out "
            f"ones by {measured:.2g}: {other}."
        )
    if not math.isfinite(measured):
        yield (
            "Outputs of the result are not finite on some held-out samples: do not use it so; "
            "raise the budget, or leave out operators by --exclude."
        )
    elif untrained is not None and measured > untrained:
        yield (
            f"Training helped on the samples that it was validated on, but not on those held out: "
            f"they diverge by {measured:.2g}, and did by {untrained:.2g} before; give more "
            "samples, or leave --finetune out."
        )
    if time is not None and time.slower:
        yield (
            f"The result takes {time.median:.2f} times as long as the dense model on this machine: "
            "--prefer latency leaves out cuts that make an operator slower."
        )


def _of_idle(idle: Sequence[str]) -> Iterator[str]:
    """Operators that the data never ran."""
    if idle:
        yield (
            f"The calibration data never ran {len(idle)} of the operators, which stayed dense with "
            f"those that share their weights: {named(idle)}."
        )


def never_ran(target: Target, analysis: Analysis) -> str:
    """The reason why a target is left dense of which the data never reached all operators."""
    for use in target.uses:
        if use.name in analysis.not_finite:
            shared = "" if use is target else f" of '{use.operator}', which shares its weight,"
            return f"activations{shared} are not finite on {analysis.not_finite[use.name]}"
    idle = idle_operators([target], analysis)
    if not idle or idle[0] == target.operator:
        return "never ran on the calibration data"
    return f"shares its weight with '{idle[0]}', which never ran on the calibration data"


def hidden_weights(skipped: Sequence[Skipped], params: int) -> list[str]:
    """A sentence on weights that cannot be read, where they are many.

    Args:
        skipped: What is no target.
        params: Constants of the whole model.
    """
    hidden = [each for each in skipped if each.counted]
    total = sum(each.params for each in hidden)
    if total <= _HIDDEN * params:
        return []
    first = max(hidden, key=lambda each: each.params)
    said = (
        f"{total:,} of the model's {params:,} parameters are in {len(hidden)} operators that "
        f"cannot be cut; the largest is '{first.name}': {first.reason}."
    )
    return [said]


def _by_operator(targets: Sequence[Target], names: Collection[str]) -> dict[str, str]:
    """The operators behind unfoldings' names, which are one to the user, to the first such name."""
    found: dict[str, str] = {}
    for use in (
        use for target in targets for unfolding in unfoldings_of(target) for use in unfolding.uses
    ):
        if use.name in names:
            found.setdefault(use.operator, use.name)
    return found


def _enough(short: float, data: CalibrationData) -> str:
    """Advice on how many samples end a shortage, with a margin, and how to get them."""
    used = data.calibration_samples + (0 if data.shares_holdout else data.holdout_samples)
    wanted = _MARGIN * short * used
    step = 10 ** max(0, math.floor(math.log10(wanted)) - 1)
    enough = math.ceil(wanted / step) * step
    said = f"about {enough} in all, held-out ones included, would do"
    if data.available >= enough:
        return f"{said}: give --samples {enough}"
    if data.available > used:
        return f"{said}, and the data hold {data.available}: give --samples {data.available}"
    return f"{said}, and the data hold {data.available}"
