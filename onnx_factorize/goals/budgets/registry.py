"""Budgets by the name of their unit."""

from __future__ import annotations

from typing import TypeVar

from ...allocation.model_costs import Costs
from ...allocation.price import Price
from ...errors import InputError, check_known
from ...options import Budget, Options
from ...registering import check_free

__all__ = ["budget_names", "check_budget", "price_of", "register", "spends_time", "wants_speed"]

PriceType = TypeVar("PriceType", bound=type[Price])

_PRICES: dict[str, type[Price]] = {}


def register(price: PriceType) -> PriceType:
    """Adds a budget under the name of its unit.

    Raises:
        ValueError: Another has that name.
    """
    check_free(_PRICES, price, "budget")
    _PRICES[price.name] = price
    return price


def budget_names() -> list[str]:
    """The units that `--budget` takes."""
    return sorted(_PRICES)


def check_budget(budget: Budget) -> type[Price]:
    """The unit of a budget.

    Raises:
        InputError: There is no such unit, or the value is none in it.
    """
    check_known(budget_names(), budget.kind, "budget")
    found = _PRICES[budget.kind]
    if not found.accepts(budget.value):
        raise InputError(
            f"The budget {budget.kind}={budget.value:g} is neither a share of the dense model (up "
            "to 1) nor a size: give a unit, such as M."
        )
    return found


def price_of(budget: Budget, costs: Costs) -> Price:
    """The unit of a budget, for a dense model of such costs.

    Raises:
        InputError: There is no such unit, or the value is none in it.
    """
    return check_budget(budget)(costs)


def wants_speed(options: Options) -> bool:
    """Tells whether every cut must be timed, because speed is wanted and not size alone."""
    return options.prefers_speed or check_budget(options.budget).speed


def spends_time(options: Options) -> bool:
    """Tells whether ranks are allocated in measured time: a budget of it, or the least of it."""
    least = options.promise is not None and options.prefers_speed
    return least or check_budget(options.budget).timed
