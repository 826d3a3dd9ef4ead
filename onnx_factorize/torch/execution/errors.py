"""Errors of a graph that runs in torch."""

from __future__ import annotations

from ...errors import InputError

__all__ = ["DeviationError", "ExecutionError", "Unsupported", "UnsupportedError"]


class UnsupportedError(InputError):
    """A node cannot be run in torch; the message names it and says why."""


class ExecutionError(InputError):
    """A node failed on the values that it was given; the message names it."""


class DeviationError(InputError):
    """torch and onnxruntime disagree; the message names the first node that deviates."""


class Unsupported(Exception):  # noqa: N818 - the reason that becomes an UnsupportedError
    """An operator refuses; the message is the reason, without the node's name."""
