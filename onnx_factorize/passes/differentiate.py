"""Append the gradients at the outputs of targets, seeded by labels that the model draws."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import onnx_ir as ir

from ._expose import Exposer
from .adjoint import AppendAdjoint
from .find_targets import FindTargets
from .seed_outputs import OutputSeed, SeedInputs, SeedOutputs

__all__ = ["Differentiate"]


class Differentiate(ir.passes.InPlacePass):
    """Appends the gradient of the drawn labels' loss at each target's output (see `SeedOutputs`).

    Attributes:
        gradients: Target name to the name of the output that carries its gradient.
        unreachable: Target name to the reason why it has none.
        inputs: Output name to the inputs that its seed is made of.
        passed_on: As `AppendAdjoint` has it.
    """

    def __init__(
        self,
        names: Iterable[str],
        outputs: Mapping[str, OutputSeed],
        points: Mapping[str, ir.Value] | None = None,
        segments: Sequence[Sequence[ir.Node]] = (),
    ) -> None:
        """Initializes the pass.

        Args:
            names: The targets.
            outputs: Output name to how the gradient is seeded there.
            points: Further values whose gradients are wanted, by the name of their unfolding.
            segments: Consecutive nodes of the graph whose adjoints are to be apart.
        """
        self._segments = segments
        self._points = points or {}
        self._wanted = set(names)
        self._outputs = outputs
        self.gradients: dict[str, str] = {}
        self.unreachable: dict[str, str] = {}
        self.inputs: dict[str, SeedInputs] = {}
        self.passed_on: Mapping[ir.Value, int] = {}

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Appends the nodes and exposes the gradients."""
        finder = FindTargets()
        finder(model)
        wanted = {
            t.node.outputs[0]: (t.name, t.weight.dtype)
            for t in finder.uses
            if t.name in self._wanted and t.is_own
        }
        wanted |= {value: (name, value.dtype) for name, value in self._points.items()}
        seeds = SeedOutputs(self._outputs)
        seeds(model)
        self.inputs = seeds.inputs
        adjoint = AppendAdjoint(seeds.seeds, list(wanted), self._segments)
        adjoint(model)
        self.passed_on = adjoint.passed_on
        expose = Exposer(model)
        for value, (name, dtype) in wanted.items():
            if value in adjoint.gradients:
                assert dtype is not None
                self.gradients[name] = expose(adjoint.gradients[value], model.graph, dtype)
            else:
                self.unreachable[name] = adjoint.unreachable[value]
        return ir.passes.PassResult(model, modified=True)
