"""The runtimes, one file each: a file of this folder is imported and found by its name.

Other packages add one with `register`.
"""

from __future__ import annotations

from ...registering import import_files
from .registry import register, runtime_names, runtime_of

__all__ = ["register", "runtime_names", "runtime_of"]

import_files(__name__, __path__)
