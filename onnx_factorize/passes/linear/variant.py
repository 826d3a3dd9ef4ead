"""Base class of linear operators in another shape than the plain ones."""

from __future__ import annotations

import abc
import dataclasses
from typing import ClassVar

import onnx_ir as ir

from .factors import Factors
from .site import Site

__all__ = ["Variant"]


@dataclasses.dataclass
class Variant(abc.ABC):
    """A linear operator that is observed as another one.

    For calibration it is replaced by a plain MatMul, Gemm or Conv among operators that only move
    values, which computes the same; so observers, gradients and forms know three operators and no
    more. In the result it is rewritten as it stands, without those movements.

    Attributes:
        split: Whether the plain operators are what is rewritten, and not the node itself.
        x: The operand that is computed.
        weight: The initializer that holds the weight.
    """

    split: ClassVar[bool] = False

    x: ir.Value
    weight: ir.Value

    @abc.abstractmethod
    def canonicalize(self, site: Site) -> None:
        """Replaces the node by plain operators."""

    def rewrite(self, site: Site, factors: Factors) -> None:
        """Puts factors into the node itself, unless it is split."""
        raise NotImplementedError
