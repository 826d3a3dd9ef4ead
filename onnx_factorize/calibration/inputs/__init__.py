"""The inputs of a model, and arrays that fit them."""

from .signature import Signature
from .spec import InputSpec

__all__ = ["InputSpec", "Signature"]
