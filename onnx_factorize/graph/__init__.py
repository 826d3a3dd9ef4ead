"""Questions about graphs and what builds them, for the passes, the adjoint and the executor."""

from .names import Namer
from .values import add_initializer, add_integers, constant, new_constant, register
from .versions import opset
from .walk import captured, defined, scopes, subgraphs, within

__all__ = [
    "Namer",
    "add_initializer",
    "add_integers",
    "captured",
    "constant",
    "defined",
    "new_constant",
    "opset",
    "register",
    "scopes",
    "subgraphs",
    "within",
]
