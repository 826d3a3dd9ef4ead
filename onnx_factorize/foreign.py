"""The one place where what other people's code raises becomes a sentence.

Models, data and functions of the user's own go through libraries that raise whatever they like:
protobuf, zipfile, numpy's parser of headers, Pillow, onnxruntime, the user's module.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TypeVar

import onnx_ir as ir

from .errors import FactorizeError, InputError

__all__ = ["attempt", "first_line", "reading", "user_code"]

_Result = TypeVar("_Result")

# What onnxruntime puts before its messages, and what it says of operators that it does not have.
_PREFIX = "[ONNXRuntimeError]"
_UNKNOWN = "is not a registered function/op"


@contextlib.contextmanager
def reading(said: str) -> Iterator[None]:
    """Makes of any error one sentence: `said`, and the error's first line.

    Args:
        said: The first half of the sentence, such as "x.npz cannot be read".

    Raises:
        InputError: Something was raised.
    """
    try:
        yield
    except FactorizeError:
        raise
    except MemoryError as error:
        raise InputError(f"{said}: it asks for more memory than there is.") from error
    except Exception as error:
        raise InputError(f"{said}: {first_line(error)}.") from error


def attempt(function: Callable[[], _Result]) -> _Result | None:
    """The result of a function that may raise anything, where one can do without: then None."""
    try:
        return function()
    except Exception:
        return None


@contextlib.contextmanager
def user_code(said: str) -> Iterator[None]:
    """Makes one sentence of whatever a function of the user's own raises, of `sys.exit` too.

    Args:
        said: What was run, such as "--calib feeds:make".

    Raises:
        InputError: Something was raised.
    """
    try:
        yield
    except FactorizeError:
        raise
    except SystemExit as error:
        raise InputError(f"{said} called sys.exit({error.code!r}).") from error
    except Exception as error:
        text = first_line(error) if str(error).strip() else "no message"
        raise InputError(f"{said} raised {type(error).__name__}: {text}.") from error


def first_line(error: BaseException) -> str:
    """An error's message, without onnxruntime's prefix or full stop; its name if it is empty."""
    while isinstance(error, ir.serde.SerdeError) and error.__cause__ is not None:
        error = error.__cause__  # what contains it says only where it was
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = next((line.strip() for line in str(error).split("\n") if line.strip()), "").rstrip(". ")
    text = text.split(" : ", 3)[-1] if text.startswith(_PREFIX) else text
    if _UNKNOWN in text:
        text += "; give the library that has it with --custom-ops"
    return text or type(error).__name__
