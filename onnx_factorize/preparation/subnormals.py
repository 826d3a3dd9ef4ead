"""Subnormal numbers in a user's weights: zero where nothing changes by it.

Training leaves them in dead channels, and onnxruntime computes with them many times slower.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx_ir as ir

from ..calibration import CalibrationData
from ..options import Options
from ..passes import DropTiny
from ..runtime.paging import spill_large
from ..runtime.runtimes import runtime_of

__all__ = ["Subnormals", "without_subnormals"]

# Calibration samples whose outputs are compared, at most.
_SAMPLES = 32


@dataclasses.dataclass(frozen=True)
class Subnormals:
    """The fate of subnormal numbers in the dense model's weights.

    Attributes:
        numbers: How many there are.
        zeroed: Whether they are zero in what is written; in operators that are not cut, that is.
        samples: Calibration samples whose outputs were compared.
    """

    numbers: int
    zeroed: bool
    samples: int

    def as_dict(self) -> dict[str, Any]:
        """The section `subnormals` of the report."""
        return {**dataclasses.asdict(self), "said": self.sentence()}

    def sentence(self) -> str:
        """A sentence on what was done."""
        found = f"{self.numbers:,} of the dense model's weights are below 1e-30"
        if self.zeroed:
            return (
                f"{found}, which slows processors down: they are 0 in the result, for the outputs "
                f"of {self.samples} samples stay equal to the bit (--keep-subnormals leaves them)"
            )
        if self.samples:
            return f"{found}, and stay so: without them outputs change"
        return f"{found}, and stay so: --keep-subnormals"


def without_subnormals(
    dense: ir.Model, data: CalibrationData, options: Options
) -> tuple[ir.Model, Subnormals | None]:
    """The model to factorize: the dense one, without subnormal weights if its outputs stay equal.

    Args:
        dense: The dense model; it is not changed.
        data: The calibration data, on which that is found out.
        options: How to run the models, and whether to leave such numbers and only count.

    Returns:
        The model, and what was found; None where there are no such numbers.
    """
    dropped = dense.clone()
    drop = DropTiny()
    drop(dropped)
    if not drop.numbers:
        return dense, None
    if options.keep_subnormals:
        return dense, Subnormals(drop.numbers, zeroed=False, samples=0)
    spill_large(dropped)
    before, after = (runtime_of(options.runtime).session(model) for model in (dense, dropped))
    samples, equal = 0, True
    for batch in data.micro_batches("calibration", data.some(_SAMPLES)):
        pair = (session.run(batch.feeds, batch.origin) for session in (before, after))
        equal = _equal(*pair)
        samples += batch.samples
        if not equal:
            break
    found = Subnormals(drop.numbers, equal, samples)
    return (dropped if equal else dense), found


def _equal(a: Any, b: Any) -> bool:
    """Tells whether outputs are the same: arrays, or lists and mappings of them."""
    if isinstance(a, Mapping):
        return a.keys() == b.keys() and all(_equal(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(_equal, a, b))
    if not isinstance(a, np.ndarray) or a.dtype.kind not in "fc":
        return bool(np.array_equal(a, b))
    return bool(np.array_equal(a, b, equal_nan=True))
