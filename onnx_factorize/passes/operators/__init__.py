"""The linear operators, one file each: a file of this folder is imported, and adds its operators.

Other packages add one with `register`.
"""

from __future__ import annotations

from ...registering import import_files
from ..linear.registry import register

__all__ = ["register"]

import_files(__name__, __path__)
