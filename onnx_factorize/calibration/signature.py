"""The inputs of a model, under the name by which programs have imported it."""

from .inputs.signature import Signature

__all__ = ["Signature"]
