"""The devices, one file each: a file of this folder is imported and found by its name.

Other packages add one with `register`. The source of each rule stands in
docs/reference/deployment.md.
"""

from __future__ import annotations

from ...registering import import_files
from .registry import device_named, device_names, register

__all__ = ["device_named", "device_names", "register"]

import_files(__name__, __path__)
