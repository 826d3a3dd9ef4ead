"""Errors that a user can act on: one sentence each, no traceback."""

from __future__ import annotations

from collections.abc import Collection, Sequence

__all__ = [
    "BudgetError",
    "FactorizeError",
    "InputError",
    "PrintError",
    "at_least",
    "check_known",
    "named",
]


class FactorizeError(Exception):
    """Base of every error that the command line prints as one sentence.

    Example:
        >>> import onnx_factorize
        >>> try:
        ...     onnx_factorize.factorize("model.onnx", "data.npz", budget="params=0.001")
        ... except onnx_factorize.FactorizeError as error:
        ...     print(type(error).__name__, error.exit_code)
        BudgetError 3
    """

    exit_code = 1


class InputError(FactorizeError):
    """The model, the data or an option is wrong; the message says what to do.

    Example:
        >>> import onnx_factorize
        >>> try:
        ...     onnx_factorize.factorize("model.onnx", "data.npz", samples=0)
        ... except onnx_factorize.InputError as error:
        ...     print(error)
        samples must be at least 1.
    """


class BudgetError(FactorizeError):
    """The budget cannot be met; the message says how close it comes.

    Example:
        >>> import onnx_factorize
        >>> try:
        ...     onnx_factorize.factorize("model.onnx", "data.npz", budget="params=0.001")
        ... except onnx_factorize.BudgetError as error:
        ...     print(str(error)[:43])
        The budget params=0.001 cannot be met: para
    """

    exit_code = 3


class PrintError(FactorizeError):
    """Standard output takes nothing more: its disk is full, say."""


def named(names: Sequence[str], most: int = 8) -> str:
    """Names as a sentence has them: the first few, and how many more there are."""
    more = len(names) - most
    listed = ", ".join(f"'{name}'" for name in names[:most])
    return f"{listed} and {more} more" if more > 0 else listed


def at_least(option: str, value: int, least: int) -> None:
    """Refuses an option's value that is too small.

    Raises:
        InputError: It is.
    """
    if value < least:
        raise InputError(f"{option} must be at least {least}.")


def check_known(names: Collection[str], name: str, what: str) -> None:
    """Refuses a name that no kind of something has.

    Args:
        names: The names that there are, as they are to be listed.
        name: The name.
        what: What the kinds are kinds of.

    Raises:
        InputError: None has that name.
    """
    if name not in names:
        raise InputError(f"There is no {what} '{name}'; use one of {', '.join(names)}.")
