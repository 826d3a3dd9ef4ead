"""What calibration leaves, between the two halves of the pipeline."""

from __future__ import annotations

import dataclasses

import onnx_ir as ir

from .analysis import Analysis
from .calibration import CalibrationData
from .costs import Costs
from .outputs import OutputDistribution
from .passes import Skipped, Target
from .subnormals import Subnormals

__all__ = ["Calibrated"]


@dataclasses.dataclass(frozen=True)
class Calibrated:
    """What is known of a model before a budget is spent; it serves any number of budgets.

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

    @property
    def computed(self) -> list[str]:
        """The values that the targets compute."""
        return [target.node.outputs[0].name or "" for target in self.targets]
