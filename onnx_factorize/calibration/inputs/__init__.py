"""The inputs of a model, and arrays that fit them."""

from .signature import InputSpec, Signature

__all__ = ["InputSpec", "Signature"]
