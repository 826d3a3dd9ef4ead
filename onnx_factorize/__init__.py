"""Compress trained ONNX models by calibrated low-rank factorization."""

from ._version import __version__
from .errors import BudgetError, FactorizeError, InputError
from .pipeline import Result, factorize
from .progress import Progress
from .sweep import sweep

__all__ = [
    "BudgetError",
    "FactorizeError",
    "InputError",
    "Progress",
    "Result",
    "__version__",
    "factorize",
    "sweep",
]
