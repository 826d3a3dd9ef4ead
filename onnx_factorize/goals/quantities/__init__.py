"""Quantities of guarantees, one file each: a file of this folder is imported and found by its name.

Other packages add one with `register`.
"""

from __future__ import annotations

from ...registering import import_files
from .registry import quantity_names, quantity_of, register, share_names

__all__ = ["quantity_names", "quantity_of", "register", "share_names"]

import_files(__name__, __path__)
