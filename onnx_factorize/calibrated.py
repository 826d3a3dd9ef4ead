"""What calibration leaves, between the two halves of the pipeline."""

from __future__ import annotations

import dataclasses

import onnx_ir as ir

from .analysis import Analysis
from .calibration import CalibrationData
from .costs import Costs
from .passes import OutputKind, Skipped, Target

__all__ = ["Calibrated"]


@dataclasses.dataclass(frozen=True)
class Calibrated:
    """What is known of a model before a budget is spent; it serves any number of budgets.

    Attributes:
        dense: The dense model.
        normal: The same, normalised.
        targets: What may be factorized.
        skipped: What may not, and why.
        data: The calibration data.
        kinds: What each output stands for.
        costs: What the dense model costs.
        analysis: What every cut of every target loses.
    """

    dense: ir.Model
    normal: ir.Model
    targets: list[Target]
    skipped: list[Skipped]
    data: CalibrationData
    kinds: dict[str, OutputKind]
    costs: Costs
    analysis: Analysis

    @property
    def computed(self) -> list[str]:
        """The values that the targets compute."""
        return [target.node.outputs[0].name or "" for target in self.targets]
