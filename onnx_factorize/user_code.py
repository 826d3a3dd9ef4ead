"""Functions of the user's own, named as `module:callable`."""

from __future__ import annotations

import importlib
import pathlib
import sys
from collections.abc import Callable
from typing import Any

from .errors import InputError
from .foreign import user_code

__all__ = ["imported"]


def imported(text: str, option: str) -> Callable[..., Any]:
    """The object that `module:callable` names.

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
        with user_code(f"{option} {text}: importing '{module}'"):
            loaded = importlib.import_module(module)
    except InputError as error:
        if isinstance(error.__cause__, ModuleNotFoundError):
            missing = error.__cause__.name
            raise InputError(f"{option} {text}: there is no module '{missing}'.") from error
        raise
    finally:
        sys.path.pop(0)
    found = getattr(loaded, name, None)
    if found is None:
        raise InputError(f"{option} {text}: '{module}' has no '{name}'.")
    if not callable(found):
        raise InputError(f"{option} {text}: '{name}' is not callable.")
    return found  # type: ignore[no-any-return]
