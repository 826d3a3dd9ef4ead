"""The names in reports of what takes the place of an operator."""

from __future__ import annotations

from ._operators import TITLES
from .target import Target
from .unfoldings import UNFOLDINGS

__all__ = ["title_of"]


def title_of(target: Target) -> str:
    """The name in reports of two factors of a target."""
    return TITLES[target.op_type] if target.is_own else UNFOLDINGS[target.unfolding.name].title
