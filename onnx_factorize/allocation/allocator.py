"""Allocation of ranks within a budget, and the model that they make."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence

import onnx_ir as ir

from ..arrays import Array
from ..errors import BudgetError, named
from ..factorization.forms import unfoldings_of
from ..factorization.rewriting import ChannelFactors, factors_by_name, rewritten
from ..factorization.spectrum import Spectrum
from ..options import Options
from ..passes import Factors, Target, sign
from ..statistics.model_statistics import TargetStatistics
from .analysis import Analysis, idle_operators
from .candidate import Candidate
from .candidates import rank_multiple
from .channel_prices import ChannelPrices
from .forms import operator_choices, restricted
from .joint import allocate_jointly, cost_of, least_cost
from .lagrangian import DENSE, Choices, allocate_global, allocate_uniform
from .price import Price

__all__ = ["Allocation", "Allocator", "choices_of"]


# A budget is met when the result, as measured, is below it. Corrections are small (the size of
# names, new biases), so a few rounds are plenty.
_ROUNDS = 5


@dataclasses.dataclass(frozen=True)
class Allocation:
    """A model within the budget.

    Attributes:
        model: The model.
        candidate: What the ranks were allocated by.
        ranks: Unfolding name to rank, or `DENSE`.
        losses: Target name to the loss predicted for its cuts.
        cut: The unfoldings that are cut.
        spectra: Unfolding name to its spectrum.
        statistics: Unfolding name to what calibration found.
        channels: The channels that go.
    """

    model: ir.Model
    candidate: Candidate
    ranks: dict[str, int]
    losses: dict[str, float]
    cut: list[Target]
    spectra: dict[str, Spectrum]
    statistics: Mapping[str, TargetStatistics]
    channels: ChannelFactors

    @property
    def fitted(self) -> list[Target]:
        """What a refit fits: what is cut, and what reads channels of which some are gone."""
        return [*self.cut, *self.channels.readers]

    @functools.cached_property
    def factors(self) -> dict[str, Factors]:
        """The factors of what is cut, as `RewriteTargets` takes them; a large model's are large."""
        factors = factors_by_name(self.cut, self.ranks, self.spectra, self.statistics)
        return factors | dict(self.channels.factors)

    @property
    def squares(self) -> dict[str, Array]:
        """Unfolding name to σ² of its directions."""
        return {name: spectrum.squares for name, spectrum in self.spectra.items()}


class Allocator:
    """Allocates ranks to some targets within a budget."""

    def __init__(
        self, targets: Sequence[Target], analysis: Analysis, price: Price, options: Options
    ) -> None:
        """Works out what the budget leaves for the targets.

        Args:
            targets: The targets, with the unfoldings that are wanted.
            analysis: What every cut of every target costs.
            price: The unit of the budget, with what the dense model costs.
            options: The budget, the allocation, and how ranks are rounded.

        Raises:
            BudgetError: The budget cannot be met, and the best effort was not asked for.
        """
        self._targets, self._analysis = targets, analysis
        self._price, self._options = price, options
        choices = self._choices(analysis.candidates[0])
        channels = analysis.channels
        self._prices = ChannelPrices.of(channels.narrowings, targets, price)
        self._cost = price.of_model(targets)
        self._wanted = options.budget.limit(self._cost)
        self._fixed = price.of_stored(targets) - sum(choice.dense for choice in choices)
        first = analysis.candidates[0]
        self._least = _least(choices)
        if channels.narrowings and not first.uniform:
            by_operator = self._by_operator(choices)
            joint = least_cost(by_operator, self._prices, first.losses)
            self._least = min(self._least, joint)
        least = self._fixed + self._least
        if least > self._wanted:
            if not options.best_effort:
                idle = idle_operators(targets, analysis)
                raise BudgetError(_unreachable(options, price, self._cost, least, targets, idle))
            self._wanted = least
        self._room = self._wanted - self._fixed

    def ranks_of(self, candidate: Candidate) -> dict[str, int] | None:
        """The ranks within the budget; None if the forms of the candidate are too dear for it."""
        choices = self._choices(candidate)
        return self._ranks(choices, candidate, max(self._room, self._least))

    def _ranks(
        self, choices: Sequence[Choices], candidate: Candidate, room: float
    ) -> dict[str, int] | None:
        """Ranks and widths within a bound; None if the candidate has none."""
        if self._prices.narrowings and not candidate.uniform:
            by_operator = self._by_operator(choices)
            found = allocate_jointly(by_operator, self._prices, candidate.losses, room)
            if found is not None:
                return found
        return self._cut(choices, candidate, room) if _least(choices) <= room else None

    def _by_operator(self, choices: Sequence[Choices]) -> dict[str, Choices]:
        """The choices of each operator."""
        return dict(zip((target.operator for target in self._targets), choices, strict=True))

    def _cut(self, choices: Sequence[Choices], candidate: Candidate, room: float) -> dict[str, int]:
        """Ranks within a bound, with all channels."""
        allocate = allocate_uniform if candidate.uniform else allocate_global
        every = (each.name for each in self._prices.narrowings)
        return allocate(choices, room) | dict.fromkeys(every, DENSE)

    def _choices(self, candidate: Candidate) -> list[Choices]:
        return choices_of(self._targets, candidate, self._price, self._options)

    def allocate(self, dense: ir.Model, candidate: Candidate) -> Allocation:
        """The model that a candidate makes, measured to be within the budget.

        Raises:
            BudgetError: It cannot be, and the best effort was not asked for.
        """
        analysis, room = self._analysis, self._room
        unfoldings = [unfolding for target in self._targets for unfolding in unfoldings_of(target)]
        choices = self._choices(candidate)
        for _ in range(_ROUNDS):
            ranks = self._ranks(choices, candidate, room) or self._cut(
                choices, candidate, max(room, _least(choices))
            )
            cut = [unfolding for unfolding in unfoldings if ranks.get(unfolding.name)]
            spectra = {unfolding.name: analysis.spectrum(unfolding, candidate) for unfolding in cut}
            channels = analysis.channels.taken(ranks)
            model = rewritten(dense, cut, ranks, spectra, analysis.statistics, channels)
            sign(model, self._options.provenance())
            spent = cost_of(ranks, choices, self._prices)
            cost = self._price.of_rewritten(model, self._fixed + spent)
            over = cost - self._wanted
            if over <= 0 or (room <= _least(choices) and not channels.kept):
                break
            # What was not used must not be given again.
            room = min(room, spent) - over
        if over > 0 and candidate.forms:  # others may be cheaper
            return self.allocate(dense, dataclasses.replace(candidate, forms={}))
        if over > 0 and not self._options.best_effort:
            reached = self._wanted + over
            idle = idle_operators(self._targets, analysis)
            raise BudgetError(
                _unreachable(self._options, self._price, self._cost, reached, self._targets, idle)
            )
        # What was predicted, in nats where there are gradients, whatever plan was chosen.
        losses = _losses_of(ranks, self._targets, analysis)
        statistics = analysis.statistics
        return Allocation(model, candidate, ranks, losses, cut, spectra, statistics, channels)


def _losses_of(
    ranks: Mapping[str, int], targets: Sequence[Target], analysis: Analysis
) -> dict[str, float]:
    """The loss predicted for each operator that is cut, and for channels that go."""
    known = analysis.candidates[0].losses
    losses = {
        target.operator: sum(
            float(known[unfolding.name][ranks[unfolding.name]])
            for unfolding in unfoldings_of(target)
            if ranks.get(unfolding.name)
        )
        for target in targets
    }
    for narrowing, width in analysis.channels.chosen(ranks).items():
        losses[narrowing.name] = float(analysis.channels.losses[narrowing.name][width])
    return losses


def _least(choices: Sequence[Choices]) -> float:
    """The cost of the cheapest model."""
    return sum(float(choice.costs[0]) for choice in choices)


def choices_of(
    targets: Sequence[Target],
    candidate: Candidate,
    price: Price,
    options: Options,
) -> list[Choices]:
    """The candidates of each target, in the form that a candidate or the options ask for.

    Args:
        targets: The targets.
        candidate: The losses of their cuts, and forms.
        price: The unit of the budget.
        options: The form, and what ranks are multiples of.
    """
    all_params = sum(target.params for target in targets)
    costs, fast = price.costs, price.speed or options.prefers_speed

    def multiple(unfolding: Target) -> int:
        return rank_multiple(unfolding, all_params, options, fast=fast)

    choices = []
    for target in targets:
        macs = sum(costs.arithmetic.nodes.get(use.operator, 0) for use in target.uses)
        form = candidate.forms.get(target.operator, options.form)
        seen = restricted(target, form) if form != options.form else target
        choices.append(
            operator_choices(seen, candidate.losses, price, macs, multiple, form, costs.curves)
        )
    return choices


def _unreachable(
    options: Options,
    price: Price,
    dense: float,
    least: float,
    targets: Sequence[Target],
    idle: Sequence[str],
) -> str:
    kind, value = price.name, options.budget.value
    # Rounded up, so that what is advised can be met.
    share, digits = math.ceil(1e3 * least / dense - 1e-6) / 1e3, math.ceil(least)
    reach = f"{kind}={share:.3f}" if value <= 1 else f"{digits:,} {kind}"
    hidden = price.why_not_less(dense)
    if idle:
        hidden += f"; the calibration data never ran {named(idle)}: give data that do"
    speed = price.speed or options.prefers_speed
    faster = " without making any slower on this machine" if speed else ""
    return (
        f"The budget {options.budget} cannot be met: {reach} is the least that factorizing the "
        f"{len(targets)} targets can reach{faster}{hidden}; raise the budget, or add --best-effort "
        "to come as close as possible."
    )
