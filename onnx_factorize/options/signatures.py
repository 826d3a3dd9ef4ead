"""Signatures and messages of Python functions that take options by keyword."""

from __future__ import annotations

import contextlib
import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from ..errors import FactorizeError
from .options import Options

__all__ = ["naming_parameters", "takes"]

_Function = TypeVar("_Function", bound=Callable[..., Any])

_FLAG = re.compile(r"--([a-z][a-z-]*[a-z])")

# Options of the command line that are parameters in Python, by other names.
_PARAMETERS = {"calib": "calibration", "sweep": "budgets"}


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


@contextlib.contextmanager
def naming_parameters() -> Iterator[None]:
    """Has errors name parameters, such as `max_divergence`, where they name `--max-divergence`."""
    parameters = {named.flag: name for name, named in Options.names().items()} | _PARAMETERS
    try:
        yield
    except FactorizeError as error:
        said = _FLAG.sub(lambda flag: parameters.get(flag[1], flag[0]), str(error))
        error.args = (said,)
        raise
