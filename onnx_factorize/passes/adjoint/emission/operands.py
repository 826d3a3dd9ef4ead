"""The inputs of a node by their places, where some may be absent."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from onnx_factorize.passes.adjoint.emission.errors import NoRuleError

__all__ = ["Operands"]


class Operands:
    """What rules and bodies ask of a node's inputs."""

    def __init__(self, operands: Sequence[ir.Value | None]) -> None:
        self._operands = operands

    def maybe(self, index: int) -> ir.Value | None:
        """Return an input, or None if it is absent."""
        return self._operands[index] if index < len(self._operands) else None

    def x(self, index: int = 0) -> ir.Value:
        """Return an input that must be present.

        Raises:
            NoRuleError: It is absent.
        """
        value = self.maybe(index)
        if value is None:
            raise NoRuleError(f"input {index} is absent")
        return value
