"""The weightings, one file each: a file of this folder is imported and found by its name.

Other packages add one with `register`.
"""

from __future__ import annotations

from ...registering import import_files
from .registry import get_weighting, register, weighting_names

__all__ = ["get_weighting", "register", "weighting_names"]

import_files(__name__, __path__)
