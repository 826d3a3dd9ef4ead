"""Signatures of Python functions that take options by keyword."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from .options import Options

__all__ = ["takes"]

_Function = TypeVar("_Function", bound=Callable[..., Any])


def takes(keywords: type[Any]) -> Callable[[_Function], _Function]:
    """Gives a function of `**options` the signature with each of them, and its default.

    Args:
        keywords: The `TypedDict` of the options.
    """

    def named(function: _Function) -> _Function:
        signature = inspect.signature(function)
        own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        hints = keywords.__annotations__
        options = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=named.default,
                annotation=getattr(hints[name], "__forward_arg__", hints[name]),
            )
            for name, named in Options.names().items()
            if name in hints
        ]
        function.__signature__ = signature.replace(parameters=[*own, *options])  # type: ignore[attr-defined]
        return function

    return named
