"""What can be guaranteed, one file each: a file of this folder is imported and found by its name.

Other packages add one with `register`.
"""

from __future__ import annotations

import importlib
import pkgutil

from .registry import quantity_names, quantity_of, register

__all__ = ["quantity_names", "quantity_of", "register"]

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
