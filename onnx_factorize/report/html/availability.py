"""Tells whether what draws the pages is installed."""

from __future__ import annotations

import importlib.util

from ...errors import InputError

__all__ = ["check_available"]


def check_available() -> None:
    """Finds out before a run, not after it.

    Raises:
        InputError: A library is missing.
    """
    missing = [name for name in ("jinja2", "matplotlib") if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(
            f"A report in HTML needs {' and '.join(missing)}: "
            "python -m pip install 'onnx-factorize[report]'."
        )
