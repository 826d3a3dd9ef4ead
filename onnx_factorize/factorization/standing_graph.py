"""A graph that takes the factors of its targets without being rewritten.

The product of the factors takes the place of each dense weight, and what a bias absorbs is added
behind the operator. That is the function that the rewritten graph computes, but for rounding, in
whatever form an operator is cut; only what it costs is that of the dense graph.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from ..passes import AddShifts, Factors, FindTargets, Target

__all__ = ["StandingGraph"]


class StandingGraph:
    """A copy of a normalised model whose targets can be given factors.

    Attributes:
        model: The copy.
        changing: The initializers that factors change: weights, and shifts behind operators.
    """

    def __init__(self, model: ir.Model) -> None:
        """Prepares a model.

        Args:
            model: The normalised model. It is changed, but computes what it computed.
        """
        self.model = model
        finder = FindTargets()
        finder(model)
        self._targets = {target.name: target for target in finder.uses}
        adding = AddShifts(target for target in finder.uses if target.is_own)
        adding(model)
        self._shifts = adding.shifts
        weights = dict.fromkeys(target.weight for target in finder.uses)
        self.changing: list[ir.Value] = [*weights, *self._shifts.values()]

    def contents(self, factors: Mapping[str, Factors]) -> dict[ir.Value, npt.NDArray[Any]]:
        """The contents of initializers that some factors ask for.

        Args:
            factors: Target name to factors; of targets that the graph does not hold they are
                ignored.
        """
        found: dict[ir.Value, npt.NDArray[Any]] = {}
        for name, each in factors.items():
            target = self._targets.get(name)
            if target is None:
                continue
            assert target.weight.dtype is not None
            dtype = target.weight.dtype.numpy()
            precise = np.float64 if dtype == np.float64 else np.float32
            found[target.weight] = target.stored(each.product(precise)).astype(dtype)
            shift = self._shifts.get(target.operator)
            if each.bias_shift is not None and shift is not None:
                assert shift.shape is not None
                found[shift] = each.bias_shift.reshape(shift.shape.numpy()).astype(dtype)
        return found

    def take(self, factors: Mapping[str, Factors]) -> None:
        """Puts factors into the model."""
        for value, array in self.contents(factors).items():
            value.const_value = ir.tensor(array, dtype=value.dtype, name=value.name)

    def in_order(self, targets: Iterable[Target]) -> list[Target]:
        """Targets in the order in which the graph computes them, subgraphs in that of their nodes.

        They are found scope by scope, so those of a branch after all of the graph around it.
        """
        places = {node: place for place, node in enumerate(self.model.graph.all_nodes())}
        return sorted(targets, key=lambda target: places[self._targets[target.operator].node])

    def computed_by(self, name: str) -> str:
        """The name of what the node of a target computes, before anything is added to it."""
        return self._targets[name].node.outputs[0].name or ""
