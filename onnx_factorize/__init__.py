"""Compress trained ONNX models by calibrated low-rank factorization."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from .api import calibrate, compare, factorize, inspect, merge, sweep
    from .errors import BudgetError, FactorizeError, InputError
    from .options import Options
    from .progress import Progress
    from .report.report import Report
    from .result import Result

__all__ = [
    "BudgetError",
    "FactorizeError",
    "InputError",
    "Options",
    "Progress",
    "Report",
    "Result",
    "__version__",
    "calibrate",
    "compare",
    "factorize",
    "inspect",
    "merge",
    "sweep",
]

# Each name's module is imported when the name is asked for: `--version` needs none of them.
_HOMES = {
    "api": ("calibrate", "compare", "factorize", "inspect", "merge", "sweep"),
    "errors": ("BudgetError", "FactorizeError", "InputError"),
    "options": ("Options",),
    "progress": ("Progress",),
    "report.report": ("Report",),
    "result": ("Result",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    value = getattr(importlib.import_module(f".{_HOME_OF[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
