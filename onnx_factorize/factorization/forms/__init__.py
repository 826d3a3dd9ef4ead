"""The forms in which an operator may be cut, one file each, and the registry of them."""

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
