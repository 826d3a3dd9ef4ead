"""What a model wants to be fed, and arrays that fit it."""

from .signature import InputSpec, Signature

__all__ = ["InputSpec", "Signature"]
