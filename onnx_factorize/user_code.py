"""Functions of the user's own, named as `module:callable`."""

from __future__ import annotations

import importlib
import pathlib
import sys
from collections.abc import Callable
from typing import Any

from .errors import InputError

__all__ = ["imported"]


def imported(text: str, option: str) -> Callable[..., Any]:
    """What `module:callable` names.

    Args:
        text: The name; the current folder is searched, too.
        option: The option that it was given to, for the message of an error.

    Raises:
        InputError: There is no such module, it cannot be imported, or has no such callable.
    """
    module, _, name = text.rpartition(":")
    # A script beside the user is what module:callable mostly names.
    sys.path.insert(0, str(pathlib.Path.cwd()))
    try:
        loaded = importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise InputError(f"{option} {text}: there is no module '{error.name}'.") from error
    except Exception as error:  # whatever the user's module does
        raise InputError(
            f"{option} {text}: importing '{module}' raised {type(error).__name__}: {error}."
        ) from error
    finally:
        sys.path.pop(0)
    found = getattr(loaded, name, None)
    if found is None:
        raise InputError(f"{option} {text}: '{module}' has no '{name}'.")
    if not callable(found):
        raise InputError(f"{option} {text}: '{name}' is not callable.")
    return found  # type: ignore[no-any-return]
