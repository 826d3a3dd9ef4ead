"""The gradients of an observed model: which targets have one, and why others have none."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import onnx_ir as ir

from ..options import Labels
from ..outputs import OutputDistribution
from ..passes import Differentiate, SeedInputs, SeparateUnfoldings, Target

__all__ = ["TargetGradients"]


@dataclasses.dataclass
class TargetGradients:
    """The gradients that a graph computes.

    Attributes:
        values: Name of a target, or of another operator that reads its weight, to its gradient's.
        unreachable: The same names to the reason why there is none.
        inputs: Output name to the inputs of the graph that seed its gradient.
        passed_on: What the adjoint of a segment of the graph passes on to earlier ones.
    """

    values: dict[str, str] = dataclasses.field(default_factory=dict)
    unreachable: dict[str, str] = dataclasses.field(default_factory=dict)
    inputs: Mapping[str, SeedInputs] = dataclasses.field(default_factory=dict)
    passed_on: Mapping[ir.Value, int] = dataclasses.field(default_factory=dict)

    @classmethod
    def appended(
        cls,
        observed: ir.Model,
        targets: Sequence[Target],
        outputs: Mapping[str, OutputDistribution],
        separate: SeparateUnfoldings,
        labels: Labels,
        segments: Sequence[Sequence[ir.Node]] = (),
    ) -> TargetGradients:
        """Has a graph compute gradients.

        Args:
            observed: The graph, in which unfoldings are apart; it is changed.
            targets: The targets.
            outputs: Output name to the distribution that its gradient is seeded by.
            separate: What set unfoldings apart.
            labels: Whether labels are drawn, or come with the data.
            segments: Consecutive nodes of the graph whose adjoints are to be apart.
        """
        seeds = {name: each.seed(given=labels == "given") for name, each in outputs.items()}
        names = [use.name for target in targets for use in target.uses]
        differentiate = Differentiate(names, seeds, separate.points, segments)
        differentiate(observed)
        made = cls(
            differentiate.gradients,
            differentiate.unreachable,
            differentiate.inputs,
            differentiate.passed_on,
        )
        for target in targets:
            made.leave_incomplete(target)
        return made

    def leave_incomplete(self, target: Target) -> None:
        """Leaves out the gradients of tied weights of which not all have one."""
        reasons = [self.unreachable[u.name] for u in target.uses if u.name in self.unreachable]
        if reasons:
            self.unreachable[target.name] = reasons[0]
            for use in target.uses:
                self.values.pop(use.name, None)
