"""The candidates of a target: what each rank costs, and what it loses."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..options import BudgetKind
from ..passes import Target
from ..runtime.latency_curve import Curve
from .lagrangian import DENSE, Choices

__all__ = [
    "NODE_BYTES",
    "automatic_multiple",
    "candidates",
    "faster",
    "only_dense",
    "smaller_ranks",
]

# Serialized size of one more node, its names, its entry in the list of cuts and the headers of one
# more tensor, roughly. The result is measured, so this only saves a second round.
NODE_BYTES = 420

# Kernels work in blocks of 16 channels; a rank just above one costs up to 30 % more time.
_BLOCK = 16

# A step of a rank may not cost more than this share of all targets, or budgets cannot be met.
_STEP = 0.004

# A candidate is faster than its dense operator if it takes less than this share of its time.
_FASTER = 0.97


def automatic_multiple(target: Target, all_params: int) -> int:
    """The largest power of two up to 16 in whose steps ranks are still fine enough to buy."""
    multiple = _BLOCK
    while multiple > 1 and target.factor_params(multiple) > _STEP * all_params:
        multiple //= 2
    return multiple


def smaller_ranks(target: Target, multiple: int) -> npt.NDArray[np.int64]:
    """The multiples of a rank at which a target has fewer weights than when it is dense."""
    below = -(-target.params // target.factor_params(1)) - 1
    return np.arange(multiple, min(below, target.full_rank) + 1, multiple, dtype=np.int64)


def candidates(
    target: Target,
    losses: npt.NDArray[np.float64],
    kind: BudgetKind,
    macs: int,
    multiple: int,
    curve: Curve | None = None,
) -> Choices:
    """Every rank of a target that makes it smaller, and keeping it dense.

    Args:
        target: The target.
        losses: The loss at every rank from 0, not increasing, shape (full rank + 1,).
        kind: The unit of the costs.
        macs: Multiplications of the dense operator for one sample.
        multiple: Ranks are multiples of it.
        curve: Its measured latency, if it was measured; ranks that are hardly faster than the dense
            operator are then no candidates.
    """
    ranks = smaller_ranks(target, multiple)
    params = ranks * target.factor_params(1)
    costs: npt.NDArray[Any]
    if curve is not None:
        # What is hardly faster is not worth a loss, nor the noise of the measurement.
        ranks = ranks[faster(curve.at(ranks), curve)]
        params = ranks * target.factor_params(1)
    if kind == "macs":
        costs, dense = target.factor_macs(ranks, macs), float(macs)
    elif kind == "bytes":
        costs = params * float(target.itemsize) + NODE_BYTES
        dense = float(target.params * target.itemsize)
        ranks, costs = ranks[costs < dense], costs[costs < dense]
    elif kind == "latency":
        assert curve is not None
        costs, dense = curve.at(ranks), curve.dense
    else:
        costs, dense = params.astype(np.float64), float(target.params)
    return Choices(
        target.name,
        np.append(ranks, DENSE).astype(np.int64),
        np.append(costs, dense),
        np.append(losses[ranks], 0.0),
    )


def faster(times: npt.NDArray[np.float64], curve: Curve) -> npt.NDArray[np.bool_]:
    """Which latencies are clearly below that of the dense operator."""
    return times < _FASTER * curve.dense


def only_dense(target: Target, kind: BudgetKind, macs: int) -> Choices:
    """The choice of a target about which nothing is known: keep it."""
    unit = {"latency": 0, "macs": macs, "bytes": target.params * float(target.itemsize)}.get(
        kind, target.params
    )
    return Choices(target.name, np.array([DENSE]), np.array([float(unit)]), np.zeros(1))
