"""The budgets, one file each: a file of this folder is imported and found by its name.

Other packages add one with `register`.
"""

from __future__ import annotations

import importlib
import pkgutil

from .registry import budget_names, check_budget, price_of, register, wants_speed

__all__ = ["budget_names", "check_budget", "price_of", "register", "wants_speed"]

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
