"""Errors of a graph that runs in torch."""

from __future__ import annotations

from ...errors import InputError

__all__ = ["DeviationError", "ExecutionError", "Unsupported", "UnsupportedError"]


class UnsupportedError(InputError):
    """A node cannot be run in torch; the message names it and says why.

    Example:
        >>> import onnx
        >>> from onnx_factorize.torch import UnsupportedError, to_torch
        >>> model = onnx.load("model.onnx")
        >>> model.graph.node[0].op_type = "Unheard"
        >>> try:
        ...     to_torch(model)
        ... except UnsupportedError as error:
        ...     print("Unheard" in str(error))
        True
    """


class ExecutionError(InputError):
    """A node failed on the values that it was given; the message names it.

    Example:
        >>> import torch
        >>> from onnx_factorize.torch import ExecutionError, to_torch
        >>> try:
        ...     to_torch("model.onnx")(torch.ones(2, 25))
        ... except ExecutionError as error:
        ...     print("first" in str(error))
        True
    """


class DeviationError(InputError):
    """torch and onnxruntime disagree; the message names the first node that deviates.

    Example:
        >>> import numpy, onnx_ir, torch
        >>> from onnx_factorize.torch import DeviationError, check_against_onnxruntime, to_torch
        >>> model = onnx_ir.load("model.onnx")
        >>> module = to_torch(model)
        >>> with torch.no_grad():
        ...     _ = module.get_parameter("w1").zero_()
        >>> try:
        ...     check_against_onnxruntime(module, model, {"x": numpy.ones((2, 24), numpy.float32)})
        ... except DeviationError as error:
        ...     print("first" in str(error))
        True
    """


class Unsupported(Exception):  # noqa: N818 - the reason that becomes an UnsupportedError
    """An operator refuses; the message is the reason, without the node's name."""
