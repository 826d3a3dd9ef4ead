"""Run the calibration data through the model and gather moments, in memory that does not grow."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from .calibration import CalibrationData
from .errors import InputError
from .moments import Moments
from .passes import Convolution, Observe, Target
from .rows import convolution_rows, linear_rows, padding_mask
from .session import Runtime, Session

__all__ = ["gather_moments"]

# Rows wanted for each dimension of a moment: with ten, a moment is as good as with all.
_ROWS_A_DIMENSION = 20

# What tells moments of one value apart: how a target cuts it into rows.
_Cut = tuple[str, Convolution | None, int, bool]


def gather_moments(
    model: ir.Model,
    targets: Sequence[Target],
    data: CalibrationData,
    runtime: Runtime,
    seed: int = 0,
    advance: Callable[[int], None] = lambda _: None,
) -> dict[str, Moments]:
    """The moments of what each target reads.

    Targets that read the same value in the same way share one `Moments` object.

    Args:
        model: The normalised model; it is not changed.
        targets: The targets to observe.
        data: The calibration data.
        runtime: How to run the model.
        seed: Seed of the choice of convolution positions.
        advance: Called after each batch with its number of samples.

    Returns:
        Target name to moments; a target in a branch that never ran has a count of zero.

    Raises:
        InputError: An activation is not finite.
    """
    observed = model.clone()
    observe = Observe([target.name for target in targets])
    observe(observed)
    cuts: dict[_Cut, Moments] = {}
    positions: dict[_Cut, int] = {}
    shared: dict[str, Moments] = {}
    for target in targets:
        cut = (
            observe.taps[target.name],
            target.convolution,
            target.groups,
            target.transposed_input,
        )
        if cut not in cuts:
            cuts[cut] = Moments.empty(target.groups, target.rows)
            wanted = _ROWS_A_DIMENSION * target.rows
            positions[cut] = max(4, math.ceil(wanted / data.calibration_samples))
        shared[target.name] = cuts[cut]
    session = Session(observed, runtime, sorted({cut[0] for cut in cuts}))
    rng = np.random.default_rng(seed)
    for batch in data.batches("calibration"):
        values = session.run(batch.feeds, batch.origin)
        mask = padding_mask(batch.feeds)
        for cut, moments in cuts.items():
            _add(moments, values[cut[0]], cut, positions[cut], mask, rng)
        advance(batch.samples)
        if not all(np.isfinite(moments.mean).all() for moments in cuts.values()):
            raise InputError(f"The model's activations are not finite on {batch.origin}.")
    return shared


def _add(
    moments: Moments,
    value: npt.NDArray[Any],
    cut: _Cut,
    positions: int,
    mask: npt.NDArray[np.bool_] | None,
    rng: np.random.Generator,
) -> None:
    """Adds the rows of one value, unless the branch that computes it did not run."""
    _, convolution, groups, transposed = cut
    if not value.size:
        return
    if convolution is not None:
        rows = convolution_rows(value, convolution, groups, positions, rng)
    else:
        rows = linear_rows(value, transposed=transposed, mask=mask)
    moments.add(Moments.of(rows))
