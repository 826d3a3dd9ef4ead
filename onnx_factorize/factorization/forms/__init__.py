"""The forms in which an operator may be cut, and the registry of them.

One file each: a file of this folder is imported, and adds its forms.
"""

from __future__ import annotations

from ...registering import import_files
from .form import Form, Ranks, Written
from .registry import form_named, form_names, form_that_cuts, forms_of, register, unfoldings_of

__all__ = [
    "Form",
    "Ranks",
    "Written",
    "form_named",
    "form_names",
    "form_that_cuts",
    "forms_of",
    "register",
    "unfoldings_of",
]

import_files(__name__, __path__)
