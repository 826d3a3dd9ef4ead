"""Outlook on what a few budgets would leave of a model, before there are any data.

Sizes need no data: they follow from the ranks, here the same share of every operator. What a cut
loses is another matter, and nothing is said of it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from ..allocation.allocator import Allocator
from ..allocation.analysis import Analysis
from ..allocation.candidate import Candidate
from ..allocation.forms import cut_of
from ..allocation.model_costs import Costs
from ..errors import BudgetError
from ..factorization.weighting import Spectra
from ..factorization.weightings import get_weighting
from ..goals.budgets import price_of
from ..options import Budget, Options
from ..passes import Target

__all__ = ["BUDGETS", "Outlook", "outlook"]

# Shares of the parameters of the whole model.
BUDGETS = (0.9, 0.75, 0.5, 0.35)


@dataclasses.dataclass(frozen=True)
class Outlook:
    """The outlook for one budget.

    Attributes:
        budget: The budget, as `--budget` takes it.
        params: Constant elements of the model; None, as all the rest, where the budget cannot be
            met.
        bytes: Size of the model, about.
        macs: Multiplications of its linear operators; None also where they are not known.
        cut: How many operators would be cut.
    """

    budget: str
    params: int | None = None
    bytes: int | None = None
    macs: int | None = None
    cut: int | None = None


def outlook(
    costs: Costs, targets: Sequence[Target], *, counted: bool, deploy_to: str | None = None
) -> list[Outlook]:
    """Works out what budgets would leave.

    Args:
        costs: What the dense model costs.
        targets: Its targets.
        counted: Whether its arithmetic is known.
        deploy_to: The device that it is for, if any.
    """
    own = [target.limited() for target in targets]
    losses = {target.name: np.zeros(target.full_rank + 1) for target in own}
    uniform = Candidate("uniform", get_weighting("none"), {}, losses, uniform=True)
    found = []
    for share in BUDGETS:
        budget = Budget("params", share)
        options = Options(budget=budget, ranks="uniform", weighting="none", deploy_to=deploy_to)
        try:
            price = price_of(options.budget, costs)
            allocator = Allocator(own, Analysis(Spectra({}), [uniform]), price, options)
        except BudgetError:
            found.append(Outlook(str(options.budget)))
            continue
        ranks = allocator.ranks_of(uniform)
        assert ranks is not None  # one form each
        params, size, macs, cut = costs.params, costs.bytes, costs.arithmetic.total, 0
        for target in own:
            dense = sum(costs.arithmetic.nodes.get(use.operator, 0) for use in target.uses)
            piece = cut_of(target, ranks, dense)
            saved = target.params - piece.params
            params -= saved
            size -= round(saved * target.itemsize)
            macs -= dense - piece.macs
            cut += piece.form is not None
        found.append(Outlook(str(options.budget), params, size, macs if counted else None, cut))
    return found
