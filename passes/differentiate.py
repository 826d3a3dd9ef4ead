"""Append the gradients at the outputs of targets, seeded by labels that the model draws."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import onnx_ir as ir

from ._expose import Exposer
from .adjoint import AppendAdjoint
from .find_targets import FindTargets
from .sample_labels import OutputSeed, SampleLabels

__all__ = ["Differentiate"]


class Differentiate(ir.passes.InPlacePass):
    """Appends the gradient of the drawn labels' loss at each target's output (see `SampleLabels`).

    Attributes:
        gradients: Target name to the name of the output that carries its gradient.
        unreachable: Target name to the reason why it has none.
        labels: Output name to the name of the input that takes its labels, where they are given.
    """

    def __init__(
        self, names: Iterable[str], outputs: Mapping[str, OutputSeed], seed: int = 0
    ) -> None:
        self._wanted = set(names)
        self._outputs = outputs
        self._seed = seed
        self.gradients: dict[str, str] = {}
        self.unreachable: dict[str, str] = {}
        self.labels: dict[str, str] = {}

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Appends the nodes and exposes the gradients."""
        finder = FindTargets()
        finder(model)
        targets = {t.node.outputs[0]: t for t in finder.uses if t.name in self._wanted}
        labels = SampleLabels(self._outputs, self._seed)
        labels(model)
        self.labels = labels.inputs
        adjoint = AppendAdjoint(labels.seeds, list(targets))
        adjoint(model)
        expose = Exposer(model)
        for value, target in targets.items():
            if value in adjoint.gradients:
                assert target.weight.dtype is not None
                gradient = adjoint.gradients[value]
                self.gradients[target.name] = expose(gradient, model.graph, target.weight.dtype)
            else:
                self.unreachable[target.name] = adjoint.unreachable[value]
        return ir.passes.PassResult(model, modified=True)
