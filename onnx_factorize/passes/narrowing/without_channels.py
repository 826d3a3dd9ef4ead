"""Readers of channels that go: each keeps its place, and reads the rest with other weights."""

from __future__ import annotations

from typing import Any

from ..linear.factors import Factors
from ..linear.target import Target

__all__ = ["WithoutChannels"]


class WithoutChannels:
    """Writes the product of the factors into the weight: a chain of one operator (see `Chain`).

    Rows of channels that go are zero in it until `NarrowChannels` takes them out.
    """

    def title(self, target: Target) -> str:  # noqa: ARG002 - it is that of all
        """The name of the form in reports."""
        return "fewer channels"

    def write(self, operator: Any, target: Target, factors: Factors) -> None:
        """Gives the operator the weight, and the bias what that absorbs."""
        operator.replace(target, factors.product(), factors.bias_shift)
