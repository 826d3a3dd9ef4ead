"""Matrix products."""

from __future__ import annotations

import torch
from torch import Tensor

from ..execution.table import operator


@operator("MatMul", unsigned="wide")
def _matmul(a: Tensor, b: Tensor) -> Tensor:
    return torch.matmul(a, b)


@operator("Gemm", since=7, unsigned="wide")
def _gemm(
    a: Tensor,
    b: Tensor,
    c: Tensor | None = None,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: int = 0,
    transB: int = 0,
) -> Tensor:
    y = torch.matmul(a.T if transA else a, b.T if transB else b)
    if alpha != 1:
        y = (alpha * y).to(y.dtype)
    if c is None or beta == 0:
        return y
    return y + (c if beta == 1 else (beta * c).to(c.dtype))


@operator("FusedMatMul", domain="com.microsoft")
def _fused_matmul(
    a: Tensor,
    b: Tensor,
    *,
    alpha: float = 1.0,
    transA: int = 0,
    transB: int = 0,
) -> Tensor:
    return alpha * torch.matmul(a.mT if transA else a, b.mT if transB else b)


@operator("Einsum", since=12)
def _einsum(*values: Tensor, equation: str) -> Tensor:
    result: Tensor = torch.einsum(equation, *values)
    return result


@operator("Det", since=11)
def _det(x: Tensor) -> Tensor:
    result: Tensor = torch.linalg.det(x)
    return result
