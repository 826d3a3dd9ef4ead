"""The budgets, one file each: a file of this folder is imported and found by its name.

Other packages add one with `register`.
"""

from __future__ import annotations

from ...registering import import_files
from .registry import budget_names, check_budget, price_of, register, spends_time, wants_speed

__all__ = [
    "budget_names",
    "check_budget",
    "price_of",
    "register",
    "spends_time",
    "wants_speed",
]

import_files(__name__, __path__)
