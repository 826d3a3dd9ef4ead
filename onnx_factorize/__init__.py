"""Compress trained ONNX models by calibrated low-rank factorization."""

from ._version import __version__
from .api import compare, factorize, inspect, sweep
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
    "compare",
    "factorize",
    "inspect",
    "sweep",
]
