"""What a model wants to be fed, under the name by which programs have imported it."""

from .inputs.signature import Signature

__all__ = ["Signature"]
