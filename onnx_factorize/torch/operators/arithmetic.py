"""Arithmetic, element by element."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - what everybody calls it

from ..execution.table import operator
from ._common import fold, is_integer, refuse

_UNARY = {
    "Abs": torch.abs,
    "Acos": torch.acos,
    "Acosh": torch.acosh,
    "Asin": torch.asin,
    "Asinh": torch.asinh,
    "Atan": torch.atan,
    "Atanh": torch.atanh,
    "Ceil": torch.ceil,
    "Cos": torch.cos,
    "Cosh": torch.cosh,
    "Erf": torch.erf,
    "Exp": torch.exp,
    "Floor": torch.floor,
    "Log": torch.log,
    "Neg": torch.neg,
    "Reciprocal": torch.reciprocal,
    "Round": torch.round,  # halves to even
    "Sign": torch.sign,
    "Sin": torch.sin,
    "Sinh": torch.sinh,
    "Sqrt": torch.sqrt,
    "Tan": torch.tan,
    "Tanh": torch.tanh,
}


def _register(name: str) -> None:
    function = _UNARY[name]

    @operator(name, unsigned="wide")
    def _(x: Tensor) -> Tensor:
        return function(x)


for _name in _UNARY:
    _register(_name)


@operator("Add", since=7, unsigned="wide")
def _add(a: Tensor, b: Tensor) -> Tensor:
    return a + b


@operator("Sub", since=7, unsigned="wide")
def _sub(a: Tensor, b: Tensor) -> Tensor:
    return a - b


@operator("Mul", since=7, unsigned="wide")
def _mul(a: Tensor, b: Tensor) -> Tensor:
    return a * b


@operator("Div", since=7, unsigned="wide")
def _div(a: Tensor, b: Tensor) -> Tensor:
    """Integers are truncated towards zero."""
    return torch.div(a, b, rounding_mode="trunc") if is_integer(a) else a / b


@operator("Mod", since=10, unsigned="wide")
def _mod(a: Tensor, b: Tensor, *, fmod: int = 0) -> Tensor:
    """The sign is the divisor's, or with `fmod` the dividend's."""
    if fmod:
        return torch.fmod(a, b)
    result = torch.remainder(a, b)
    if not a.is_floating_point():
        return result
    # A zero has the divisor's sign too, and a small dividend is not rounded up to the divisor.
    return torch.where(result == 0, torch.copysign(result, b), result)


@operator("Pow", since=7, host={1})
def _pow(base: Tensor, exponent: Tensor) -> Tensor:
    """The result has the base's type."""
    if exponent.dtype in (torch.uint16, torch.uint32, torch.uint64):
        exponent = exponent.to(torch.float64 if base.is_floating_point() else torch.int64)
    if exponent.numel() == 1 and not exponent.requires_grad:
        return (
            torch.pow(base, exponent.item())
            .to(base.dtype)
            .expand(np.broadcast_shapes(base.shape, exponent.shape))
        )
    return torch.pow(base, exponent.to(base.device)).to(base.dtype)


@operator("Sum")
def _sum(*values: Tensor) -> Tensor:
    return fold(torch.add, values)


@operator("Mean")
def _mean(*values: Tensor) -> Tensor:
    return fold(torch.add, values) / len(values)


@operator("Max", unsigned="wide")
def _max(*values: Tensor) -> Tensor:
    return fold(torch.maximum, values)


@operator("Min", unsigned="wide")
def _min(*values: Tensor) -> Tensor:
    return fold(torch.minimum, values)


@operator("Equal", since=7, unsigned="bits")
def _equal(a: Tensor | npt.NDArray[np.object_], b: Tensor | npt.NDArray[np.object_]) -> Tensor:
    if isinstance(a, np.ndarray):
        return torch.from_numpy(np.array(a == b, dtype=np.bool_))
    return torch.eq(a, b)  # type: ignore[arg-type]  # strings come in pairs


@operator("Greater", since=7, unsigned="read")
def _greater(a: Tensor, b: Tensor) -> Tensor:
    return a > b


@operator("GreaterOrEqual", since=12, unsigned="read")
def _greater_or_equal(a: Tensor, b: Tensor) -> Tensor:
    return a >= b


@operator("Less", since=7, unsigned="read")
def _less(a: Tensor, b: Tensor) -> Tensor:
    return a < b


@operator("LessOrEqual", since=12, unsigned="read")
def _less_or_equal(a: Tensor, b: Tensor) -> Tensor:
    return a <= b


@operator("And", since=7, unsigned="bits")
@operator("BitwiseAnd", unsigned="bits")
def _and(a: Tensor, b: Tensor) -> Tensor:
    return a & b


@operator("Or", since=7, unsigned="bits")
@operator("BitwiseOr", unsigned="bits")
def _or(a: Tensor, b: Tensor) -> Tensor:
    return a | b


@operator("Xor", since=7, unsigned="bits")
@operator("BitwiseXor", unsigned="bits")
def _xor(a: Tensor, b: Tensor) -> Tensor:
    return a ^ b


@operator("Not", "BitwiseNot", unsigned="bits")
def _not(x: Tensor) -> Tensor:
    return ~x


@operator("BitShift", since=11, unsigned="wide")
def _bit_shift(a: Tensor, b: Tensor, *, direction: str) -> Tensor:
    return a << b if direction == "LEFT" else a >> b


@operator("IsNaN", since=9)
def _is_nan(x: Tensor) -> Tensor:
    return torch.isnan(x)


@operator("IsInf", since=10)
def _is_inf(x: Tensor, *, detect_negative: int = 1, detect_positive: int = 1) -> Tensor:
    found = torch.zeros_like(x, dtype=torch.bool)
    if detect_negative:
        found = found | torch.isneginf(x)
    if detect_positive:
        found = found | torch.isposinf(x)
    return found


@operator("Where", since=9, unsigned="bits")
def _where(condition: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return torch.where(condition, a, b)


@operator("Clip", since=6)
def _clip_attributes(x: Tensor, *, min_: float | None = None, max_: float | None = None) -> Tensor:
    if x.is_floating_point():
        # A bound may be the largest number of a wider type, where half precision is computed in.
        largest = torch.finfo(x.dtype).max
        min_ = -math.inf if min_ is not None and min_ < -largest else min_
        max_ = math.inf if max_ is not None and max_ > largest else max_
    if min_ is None and max_ is None:
        return x
    if min_ is not None and max_ is not None and min_ < max_ and x.is_floating_point():
        # The same function, whose gradient is one pass in place of six.
        return F.hardtanh(x, min_, max_)
    return torch.clamp(x, min_, max_)


@operator("Clip", since=11, unsigned="wide")
def _clip(x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
    bounds = (low, high)
    refuse(any(b is not None and b.numel() != 1 for b in bounds), "bounds are scalars")
    if all(b is None or (b.device.type == "cpu" and not b.requires_grad) for b in bounds):
        # Numbers have no gradient, whose masks would take several times the operator itself.
        return _clip_attributes(
            x,
            min_=None if low is None else low.to(x.dtype).item(),
            max_=None if high is None else high.to(x.dtype).item(),
        )
    if low is not None:
        x = torch.maximum(x, low.reshape(()).to(x))
    if high is not None:
        x = torch.minimum(x, high.reshape(()).to(x))
    return x
