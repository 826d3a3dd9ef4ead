"""The candidates of a target: what each rank costs, and what it loses."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from ..curve import Curve
from ..factorization.forms import Form, form_that_cuts
from ..options import Options
from ..passes import Target
from .lagrangian import DENSE, Choices
from .price import Price, Taken

__all__ = [
    "LAID_OUT",
    "automatic_multiple",
    "candidates",
    "faster",
    "only_dense",
    "rank_multiple",
    "smaller_ranks",
]

# Kernels work in blocks of 16 channels; a rank just above one costs up to 30 % more time.
_BLOCK = 16

# Numbers of channels between convolutions that are no multiple of it leave the layout in blocks in
# which these compute, and take longer than all.
LAID_OUT = 4

# A step of a rank may not cost more than this share of all targets, or budgets cannot be met.
_STEP = 0.004

# A candidate is faster than its dense operator if it takes less than this share of its time.
_FASTER = 0.97


def automatic_multiple(target: Target, all_params: int, *, fast: bool = False) -> int:
    """The largest power of two up to 16 in whose steps ranks are still fine enough for a budget.

    Args:
        target: The target.
        all_params: The weights of all targets.
        fast: Whether time counts: then ranks of convolutions stay in the layout of their kernels.
    """
    multiple = _BLOCK
    while multiple > 1 and target.factor_params(multiple) > _STEP * all_params:
        multiple //= 2
    return max(multiple, LAID_OUT) if fast and target.convolution is not None else multiple


def rank_multiple(target: Target, all_params: int, options: Options, *, fast: bool = False) -> int:
    """The number of which a target's ranks are multiples: the user's, or the program's choice.

    Args:
        target: The target.
        all_params: The weights of all targets.
        options: What the user says of it, and the device that the result is for.
        fast: Whether time counts.
    """
    if options.rank_multiple is not None:
        return options.rank_multiple
    least = 1 if options.device is None else options.device.rank_multiple
    return math.lcm(least, automatic_multiple(target, all_params, fast=fast))


def smaller_ranks(target: Target, multiple: int, form: Form | None = None) -> npt.NDArray[np.int64]:
    """The multiples of a rank at which a target has fewer weights than when it is dense."""
    taken = form or form_that_cuts([target])
    ranks = np.arange(multiple, target.full_rank + 1, multiple, dtype=np.int64)
    return ranks[taken.params([target], [ranks]) < target.params]


def candidates(
    target: Target,
    losses: npt.NDArray[np.float64],
    price: Price,
    macs: int,
    multiple: int,
    curve: Curve | None = None,
    form: Form | None = None,
) -> Choices:
    """Every rank of a target that makes it smaller, and keeping it dense.

    Args:
        target: The target.
        losses: The loss at every rank from 0, not increasing, shape (full rank + 1,).
        price: The unit of the costs.
        macs: Multiplications of the dense operator for one sample.
        multiple: Ranks are multiples of it.
        curve: Its measured latency, if it was measured; ranks that are hardly faster than the dense
            operator are then no candidates.
        form: The form that cuts it alone.
    """
    form = form or form_that_cuts([target])
    ranks = smaller_ranks(target, multiple, form)
    if curve is not None:
        # What is hardly faster is not worth a loss, nor the noise of the measurement.
        ranks = ranks[faster(curve.at(ranks), curve)]
    times = None if curve is None else curve.at(ranks)
    params, all_macs = form.params([target], [ranks]), form.macs([target], [ranks], macs)
    costs = price.of(target, Taken(params, all_macs, times, form.nodes))
    dense = float(price.of(target, Taken.dense(target, macs, curve))[0])
    ranks, costs = ranks[costs < dense], costs[costs < dense]
    return Choices(
        target.name,
        np.append(ranks, DENSE).astype(np.int64),
        np.append(costs, dense),
        np.append(losses[ranks], 0.0),
    )


def faster(times: npt.NDArray[np.float64], curve: Curve) -> npt.NDArray[np.bool_]:
    """Marks the latencies that are clearly below that of the dense operator."""
    return times < _FASTER * curve.dense


def only_dense(target: Target, price: Price, macs: int, curve: Curve | None = None) -> Choices:
    """The choice of a target about which no loss is known: keep it.

    Args:
        target: The target.
        price: The unit of the costs.
        macs: Its multiplications for one sample.
        curve: Its measured latency, if it was measured.
    """
    costs = price.of(target, Taken.dense(target, macs, curve))
    return Choices(target.name, np.array([DENSE]), costs, np.zeros(1))
