"""Compress trained ONNX models by calibrated low-rank factorization."""

from ._version import __version__
from .errors import BudgetError, FactorizeError, InputError
from .pipeline import Result, factorize

__all__ = ["BudgetError", "FactorizeError", "InputError", "Result", "__version__", "factorize"]
