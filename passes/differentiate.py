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
        self,
        names: Iterable[str],
        outputs: Mapping[str, OutputSeed],
        seed: int = 0,
        points: Mapping[str, ir.Value] | None = None,
    ) -> None:
        """Initializes the pass.

        Args:
            names: The targets.
            outputs: Output name to how the gradient is seeded there.
            seed: Seed of the labels that are drawn.
            points: Further values whose gradients are wanted, by the name of their view.
        """
        self._points = points or {}
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
        wanted = {
            t.node.outputs[0]: (t.name, t.weight.dtype)
            for t in finder.uses
            if t.name in self._wanted and not t.view
        }
        wanted |= {value: (name, value.dtype) for name, value in self._points.items()}
        labels = SampleLabels(self._outputs, self._seed)
        labels(model)
        self.labels = labels.inputs
        adjoint = AppendAdjoint(labels.seeds, list(wanted))
        adjoint(model)
        expose = Exposer(model)
        for value, (name, dtype) in wanted.items():
            if value in adjoint.gradients:
                assert dtype is not None
                self.gradients[name] = expose(adjoint.gradients[value], model.graph, dtype)
            else:
                self.unreachable[name] = adjoint.unreachable[value]
        return ir.passes.PassResult(model, modified=True)
