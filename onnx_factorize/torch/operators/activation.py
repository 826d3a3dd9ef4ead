"""Activation functions, and what normalises along one axis."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - what everybody calls it

from ..execution.table import operator
from ._common import wrap_axis


@operator("Relu")
def _relu(x: Tensor) -> Tensor:
    return torch.relu(x)


@operator("Sigmoid")
def _sigmoid(x: Tensor) -> Tensor:
    return torch.sigmoid(x)


@operator("LeakyRelu")
def _leaky_relu(x: Tensor, *, alpha: float = 0.01) -> Tensor:
    return F.leaky_relu(x, alpha)


@operator("PRelu", since=7, unsigned="wide")
def _prelu(x: Tensor, slope: Tensor) -> Tensor:
    return torch.where(x < 0, x * slope, x)


@operator("Elu")
def _elu(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    return F.elu(x, alpha)


@operator("Celu", since=12)
def _celu(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    return F.celu(x, alpha)


@operator("Selu")
def _selu(
    x: Tensor, *, alpha: float = 1.67326319217681884765625, gamma: float = 1.05070102214813232421875
) -> Tensor:
    return gamma * F.elu(x, alpha)


@operator("Softplus")
def _softplus(x: Tensor) -> Tensor:
    return torch.logaddexp(x, torch.zeros_like(x))


@operator("Softsign")
def _softsign(x: Tensor) -> Tensor:
    return F.softsign(x)


@operator("Mish", since=18)
def _mish(x: Tensor) -> Tensor:
    return F.mish(x)


@operator("HardSigmoid")
def _hard_sigmoid(x: Tensor, *, alpha: float = 0.2, beta: float = 0.5) -> Tensor:
    return F.hardtanh(alpha * x + beta, 0.0, 1.0)


@operator("HardSwish", since=14)
def _hard_swish(x: Tensor) -> Tensor:
    return F.hardswish(x)


@operator("Swish", since=24)
def _swish(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    return F.silu(x) if alpha == 1.0 else x * torch.sigmoid(alpha * x)


@operator("QuickGelu", domain="com.microsoft")
def _quick_gelu(x: Tensor, *, alpha: float = 1.702) -> Tensor:
    return x * torch.sigmoid(alpha * x)


@operator("Gelu", since=20)
def _gelu(x: Tensor, *, approximate: str = "none") -> Tensor:
    return F.gelu(x, approximate=approximate)


@operator("Gelu", domain="com.microsoft")
def _contrib_gelu(x: Tensor) -> Tensor:
    return F.gelu(x)


@operator("BiasGelu", domain="com.microsoft")
def _bias_gelu(x: Tensor, bias: Tensor) -> Tensor:
    return F.gelu(x + bias)


@operator("FastGelu", domain="com.microsoft")
def _fast_gelu(x: Tensor, bias: Tensor | None = None) -> Tensor:
    return F.gelu(x if bias is None else x + bias, approximate="tanh")


@operator("Shrink", since=9)
def _shrink(x: Tensor, *, bias: float = 0.0, lambd: float = 0.5) -> Tensor:
    lower = torch.where(x < -lambd, x + bias, torch.zeros_like(x))
    return torch.where(x > lambd, x - bias, lower)


@operator("ThresholdedRelu")
def _thresholded_relu(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    return torch.where(x > alpha, x, torch.zeros_like(x))


@operator("Softmax", since=13)
def _softmax(x: Tensor, *, axis: int = -1) -> Tensor:
    return torch.softmax(x, axis)


@operator("LogSoftmax", since=13)
def _log_softmax(x: Tensor, *, axis: int = -1) -> Tensor:
    return torch.log_softmax(x, axis)


@operator("Hardmax", since=13)
def _hardmax(x: Tensor, *, axis: int = -1) -> Tensor:
    """One at the first largest element, zero elsewhere."""
    largest = x.argmax(axis, keepdim=True)
    return torch.zeros_like(x).scatter(axis, largest, 1)


def _flattened(x: Tensor, axis: int) -> Tensor:
    """The matrix that normalisation below opset 13 works on."""
    axis = wrap_axis(axis, x.dim()) if axis != x.dim() else axis
    return x.reshape(x.shape[:axis].numel(), x.shape[axis:].numel())


@operator("Softmax")
def _softmax_matrix(x: Tensor, *, axis: int = 1) -> Tensor:
    return torch.softmax(_flattened(x, axis), 1).reshape(x.shape)


@operator("LogSoftmax")
def _log_softmax_matrix(x: Tensor, *, axis: int = 1) -> Tensor:
    return torch.log_softmax(_flattened(x, axis), 1).reshape(x.shape)


@operator("Hardmax")
def _hardmax_matrix(x: Tensor, *, axis: int = 1) -> Tensor:
    return _hardmax(_flattened(x, axis), axis=1).reshape(x.shape)
