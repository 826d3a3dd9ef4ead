"""The calibrated model, between the two halves of the pipeline."""

from __future__ import annotations

import dataclasses

import onnx_ir as ir

from ..calibration import CalibrationData
from ..evaluation.state import State
from ..outputs import OutputDistribution
from ..outputs.caches import Caches
from ..outputs.selection import Selected
from ..passes import Skipped, Target
from ..preparation.subnormals import Subnormals
from .analysis import Analysis
from .model_costs import Costs

__all__ = ["Calibrated"]


@dataclasses.dataclass(frozen=True)
class Calibrated:
    """The facts about a model before ranks are allocated; it serves any number of budgets.

    Attributes:
        dense: The dense model.
        start: What is factorized: the same, perhaps without its subnormal weights.
        normal: That, normalised.
        targets: What may be factorized.
        skipped: What may not, and why.
        data: The calibration data.
        outputs: What each output that counts stands for.
        costs: What the dense model costs.
        analysis: What every cut of every target loses.
        subnormals: What became of the dense model's subnormal weights; None where it has none.
        selected: Outputs that are what a selection chose; None where there are none.
        caches: Outputs that only feed caches, and do not count; None where there are none.
        state: What is carried from step to step; None where samples are no steps.
        hints: What the user should know of the data, one sentence each.
    """

    dense: ir.Model
    start: ir.Model
    normal: ir.Model
    targets: list[Target]
    skipped: list[Skipped]
    data: CalibrationData
    outputs: dict[str, OutputDistribution]
    costs: Costs
    analysis: Analysis
    subnormals: Subnormals | None = None
    selected: Selected | None = None
    caches: Caches | None = None
    state: State | None = None
    hints: tuple[str, ...] = ()

    @property
    def watched(self) -> list[str]:
        """The values by which models are compared, and those that are carried from step to step."""
        carried = [] if self.state is None else self.state.pairs.values()
        return list(dict.fromkeys([*self.outputs, *carried]))

    @property
    def computed(self) -> list[str]:
        """The values that the targets compute."""
        return [target.node.outputs[0].name or "" for target in self.targets]
