"""Operators that shared their weight share its factors."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from ..graph import Namer, scopes
from ..graph.builder import before, emit
from .linear.marks import factor_of

__all__ = ["ShareFactors"]


class ShareFactors(ir.passes.InPlacePass):
    """Makes one of the factors that several operators were given in place of one weight.

    - Of factors with equal contents the first is read by all.
    - One that is the transpose of another is read through a Transpose.

    Nothing is assumed: contents are compared bit by bit.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Runs the pass on the initializers of all graphs, those that `Site.factor` marked."""
        found: dict[str, list[ir.Value]] = {}
        for scope, _ in scopes(model.graph):
            for value in scope.initializers.values():
                name = factor_of(value)
                if name is not None and value.uses():
                    found.setdefault(name, []).append(value)
        self._names = Namer(model)
        modified = False
        for factors in found.values():
            for index, factor in enumerate(factors):
                modified |= any(self._unify(first, factor) for first in factors[:index])
        return ir.passes.PassResult(model, modified=modified)

    def _unify(self, first: ir.Value, second: ir.Value) -> bool:
        """Replaces one factor by another if that holds the same."""
        if not first.uses() or not second.uses() or first.dtype != second.dtype:
            return False
        assert first.const_value is not None
        assert second.const_value is not None
        a, b = first.const_value.numpy(), second.const_value.numpy()
        if _same(a, b):
            ir.convenience.replace_all_uses_with(second, first)
            return True
        if a.ndim != 2 or not _same(a.T, b):
            return False
        for node, index in list(second.uses()):
            turned = emit(
                before(node),
                "Transpose",
                [first],
                {"perm": [1, 0]},
                name=self._names(f"{node.name}.transpose"),
                output=self._names(f"{first.name}.transposed"),
                dtype=first.dtype,
            )
            node.replace_input_with(index, turned)
        return True


def _same(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> bool:
    return a.shape == b.shape and np.array_equal(a, b)
