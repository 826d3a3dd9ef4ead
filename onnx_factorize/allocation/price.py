"""The unit of a budget: what a cut, an operator that stays dense, and a model cost in it."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from ..arrays import Array
from ..curve import Curve
from ..passes import Target
from .model_costs import Costs

__all__ = ["Price", "Taken"]


# No model has so few parameters, multiplications or bytes: a unit was forgotten.
_FEW = 100


@dataclasses.dataclass(frozen=True)
class Taken:
    """The resources that a target takes, cut at several ranks, or dense.

    Attributes:
        params: Weights, shape (ranks,).
        macs: Multiplications for one sample, likewise.
        times: Milliseconds for one sample, likewise; None where they were not measured.
        nodes: Nodes that there are more of than before.
    """

    params: npt.NDArray[np.int64]
    macs: Array
    times: Array | None = None
    nodes: int = 0

    @classmethod
    def dense(cls, target: Target, macs: int, curve: Curve | None = None) -> Taken:
        """The resources of a target that stays dense.

        Args:
            target: The target.
            macs: Its multiplications for one sample.
            curve: Its latency, if it was measured.
        """
        times = None if curve is None else np.array([curve.dense])
        return cls(np.array([target.params]), np.array([float(macs)]), times)


@dataclasses.dataclass(frozen=True)
class Price(abc.ABC):
    """The unit of a budget, for a dense model whose costs are known.

    Attributes:
        costs: What the dense model costs.
        name: What the unit is called in `--budget NAME=VALUE`, and in reports.
        timed: Whether it counts measured time, so that cuts without a latency have no price.
        speed: Whether speed is wanted, so that cuts that are no faster are left out.
        by_macs: Whether a weight counts by its multiplications; else training counts it once.
    """

    name: ClassVar[str]
    timed: ClassVar[bool] = False
    speed: ClassVar[bool] = False
    by_macs: ClassVar[bool] = False

    costs: Costs

    @abc.abstractmethod
    def of_model(self, targets: Sequence[Target]) -> float:
        """The price of the dense model, of which these are the targets."""

    @abc.abstractmethod
    def of(self, target: Target, taken: Taken) -> Array:
        """The price of what a target takes, shape (ranks,)."""

    def of_rest(self, weights: int, size: int, macs: int) -> float:  # noqa: ARG002 - by default
        """The price of weights that are no target's: nothing, unless the unit counts them.

        Args:
            weights: Their number.
            size: Their bytes.
            macs: Multiplications by them for one sample.
        """
        return 0.0

    def of_rewritten(self, model: ir.Model, predicted: float) -> float:  # noqa: ARG002
        """The price of a model that was made.

        Args:
            model: The model.
            predicted: The sum of what its targets cost, and of all else.
        """
        return predicted

    def of_stored(self, targets: Sequence[Target]) -> float:
        """The price of the dense model if it is stored as results are."""
        return self.of_model(targets)

    def check(self) -> None:  # noqa: B027 - most have nothing to check
        """Checks that all that is counted is known.

        Raises:
            InputError: It is not.
        """

    def why_not_less(self, dense: float) -> str:  # noqa: ARG002
        """A clause on what cannot be cut, for a budget that cannot be met; mostly empty."""
        return ""

    @classmethod
    def accepts(cls, value: float) -> bool:
        """Tells whether a value is a share of the dense model, or may be a figure in the unit."""
        return value <= 1 or value >= _FEW
