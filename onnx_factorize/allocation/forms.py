"""The forms in which an operator may be cut: which there are, what each costs, what was taken.

An operator is seen as a matrix in one or several ways (`Target.views`), and each way is cut by
itself. The own view of a convolution and that of its input channels may be cut both at once, which
is Tucker-2: its loss is about the sum of theirs, for the two changes are orthogonal in the
whitened coordinates of the input.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
import numpy.typing as npt

from ..curve import Curve
from ..passes import Target
from .candidates import candidates, faster, only_dense
from .lagrangian import DENSE, Choices
from .price import Price, Taken

__all__ = [
    "FIXED_FORMS",
    "FORMS",
    "Cut",
    "Form",
    "cut_of",
    "forms_of",
    "operator_choices",
    "pair_latency",
    "restricted",
    "views_of",
]

Array = npt.NDArray[np.float64]
Form = Literal["auto", "channel", "input", "spatial", "tucker"]
FIXED_FORMS: tuple[Form, ...] = ("channel", "input", "spatial", "tucker")

# How each operator is rewritten in its own view.
FORMS = {
    "Conv": "channel",
    "ConvTranspose": "input channel",
    "Einsum": "two Einsums",
    "FusedConv": "channel",
    "FusedGemm": "two Gemms",
    "FusedMatMul": "two MatMuls",
    "GRU": "narrow input",
    "Gather": "narrow table",
    "Gemm": "two Gemms",
    "LSTM": "narrow input",
    "MatMul": "two MatMuls",
    "RNN": "narrow input",
}

# Decompositions take the cube of the width, and the spatial view is k times as wide as others: a
# wider one is tried only where it is asked for.
_WIDEST = 1024

_OF_VIEW = {"input": "input channel", "spatial": "spatial"}


def restricted(target: Target, form: str) -> Target:
    """The target with the views that a form needs; its own where it has no such form."""
    if form == "auto":
        views = tuple(view for view in target.views if view.width <= _WIDEST)
        return dataclasses.replace(target, views=views)
    if not target.views:
        return target
    by_view = {view.view: view for view in target.views}
    if form == "tucker":
        views = tuple(view for view in target.views if view.view == "input")
        return dataclasses.replace(target, views=views)
    return by_view.get(form, dataclasses.replace(target, views=()))


def forms_of(target: Target) -> dict[Form, frozenset[str]]:
    """The forms that an operator may be cut in, with the names of the views that each cuts."""
    by_view = {view.view: view.name for view in views_of(target)}
    needed: dict[Form, tuple[str, ...]] = {
        "channel": ("",),
        "input": ("input",),
        "spatial": ("spatial",),
        "tucker": ("", "input"),
    }
    return {
        form: frozenset(by_view[view] for view in views)
        for form, views in needed.items()
        if by_view.keys() >= set(views)
    }


def views_of(target: Target) -> tuple[Target, ...]:
    """All views of an operator, its own first."""
    return (target, *target.views)


def operator_choices(
    target: Target,
    losses: Mapping[str, Array],
    price: Price,
    macs: int,
    multiple: Callable[[Target], int],
    form: str = "auto",
    curves: Mapping[str, Curve] | None = None,
) -> Choices:
    """The candidates of an operator in all of its forms, those alone that lose less for more.

    Args:
        target: The operator.
        losses: View name to the loss at every rank; a view without one is no candidate.
        price: The unit of the costs.
        macs: Multiplications of the dense operator for one sample.
        multiple: From a view to what its ranks are multiples of.
        form: The only form that is wanted, or `auto`.
        curves: View name to measured latency, as far as it was measured: what is no faster than the
            dense operator is then no candidate. Where latency is the unit, neither are pairs of
            views, which are not timed but estimated.
    """
    curves = curves or {}
    timed = curves if price.timed else None
    known = [
        view
        for view in views_of(target)
        if view.name in losses and (timed is None or view.name in timed)
    ]
    if not known:
        return only_dense(target, price, macs)
    found = {
        view.name: candidates(
            view,
            losses[view.name],
            price,
            macs,
            multiple(view),
            curves.get(view.name),
        )
        for view in known
    }
    if known == [target] and not target.views:
        return found[target.name]
    views = views_of(target)
    # The dense operator is timed beside each view: what counts is what a cut saves of that.
    dense = only_dense(target, price, macs).dense if timed is None else found[known[0].name].dense
    rows = [
        _Rows.of(
            views,
            {view.name: choices.ranks[:-1]},
            choices.costs[:-1] + (0.0 if timed is None else dense - choices.dense),
            choices.losses[:-1],
        )
        for view, choices in ((view, found[view.name]) for view in known)
        if form != "tucker" or timed is not None
    ]
    inner = next((view for view in known if view.view == "input"), None)
    if inner is not None and target in known and timed is None:
        rows.append(_pairs(target, inner, losses, price, macs, multiple, curves))
    best = _Rows.envelope(rows, dense)
    ranks = np.append(best.ranks, np.zeros((1, len(views)), np.int64), axis=0)
    return Choices(
        target.name,
        ranks.max(axis=1),
        np.append(best.costs, dense),
        np.append(best.losses, 0.0),
        tuple({v.name: int(r) for v, r in zip(views, row, strict=True)} for row in ranks),
    )


@dataclasses.dataclass(frozen=True)
class _Rows:
    """Candidates of an operator: a rank for each of its views, 0 where that is not cut."""

    ranks: npt.NDArray[np.int64]  # shape (candidates, views)
    costs: Array
    losses: Array

    @classmethod
    def of(
        cls,
        views: tuple[Target, ...],
        ranks: Mapping[str, npt.NDArray[np.int64]],
        costs: Array,
        losses: Array,
    ) -> _Rows:
        zero = np.zeros(len(costs), np.int64)
        columns = [ranks.get(view.name, zero) for view in views]
        return cls(np.stack(columns, axis=1), costs, losses)

    @classmethod
    def envelope(cls, rows: list[_Rows], most: float) -> _Rows:
        """Of all candidates those that cost less than `most`, and lose less than all cheaper."""
        ranks = np.concatenate([each.ranks for each in rows])
        costs = np.concatenate([each.costs for each in rows])
        losses = np.concatenate([each.losses for each in rows])
        order = np.lexsort((losses, costs))
        order = order[costs[order] < most]
        before = np.minimum.accumulate(np.append(np.inf, losses[order]))[:-1]
        order = order[losses[order] < before]
        return cls(ranks[order], costs[order], losses[order])


def _pairs(
    target: Target,
    inner: Target,
    losses: Mapping[str, Array],
    price: Price,
    macs: int,
    multiple: Callable[[Target], int],
    curves: Mapping[str, Curve],
) -> _Rows:
    """Tucker-2: what each pair of ranks costs, and loses."""
    ranks_in, ranks = (
        grid.reshape(-1)
        for grid in np.meshgrid(
            np.arange(multiple(inner), inner.full_rank, multiple(inner)),
            np.arange(multiple(target), target.full_rank, multiple(target)),
        )
    )
    if target.name in curves and inner.name in curves:
        times = pair_latency(target, inner, curves, ranks_in, ranks)
        quick = faster(times, curves[target.name])
        ranks_in, ranks = ranks_in[quick], ranks[quick]
    params, all_macs = _tucker(target, inner, ranks_in, ranks, macs)
    costs = price.of(target, Taken(params, all_macs, nodes=2))
    lost = losses[inner.name][ranks_in] + losses[target.name][ranks]
    return _Rows.of(views_of(target), {inner.name: ranks_in, target.name: ranks}, costs, lost)


def pair_latency(
    target: Target,
    inner: Target,
    curves: Mapping[str, Curve],
    ranks_in: npt.NDArray[np.int64],
    ranks: npt.NDArray[np.int64],
) -> Array:
    """The latency of Tucker-2 forms, from what its 1 x 1 convolutions took in forms of one of them.

    Args:
        target: The operator, whose own view has the last convolution.
        inner: Its view that has the first.
        curves: The latency of both.
        ranks_in: The inner ranks.
        ranks: The outer ones, of the same shape.
    """
    own, other = curves[target.name], curves[inner.name]
    # Each form holds a convolution of the kernel that is narrow on one side; here it is on both.
    share_in, share = ranks_in / inner.rows, ranks / target.columns
    twice = own.dense * (share_in + share - share_in * share)
    return own.at(ranks) + other.at(ranks_in) - (other.dense - own.dense) - twice


def _tucker(
    target: Target, inner: Target, rank_in: npt.ArrayLike, rank: npt.ArrayLike, macs: int
) -> tuple[npt.NDArray[np.int64], Array]:
    """Weights and multiplications: C_in to the one rank, a kernel to the other, that to C_out."""
    rank_in, rank = np.asarray(rank_in), np.asarray(rank)
    middle = rank_in * rank * (target.rows // inner.rows)
    first, last = inner.rows * rank_in, rank * target.columns
    places = macs / target.params
    return (
        np.asarray(target.groups * (first + middle + last)),
        np.asarray(places * target.groups * (inner.stretch * first + middle + last)),
    )


@dataclasses.dataclass(frozen=True)
class Cut:
    """What was taken for an operator.

    Attributes:
        form: As reports call it; None if it stays dense.
        rank: In one group; that of the output where there are two.
        full_rank: The largest that it could be.
        params: Weights.
        macs: Multiplications for one sample.
        note: What else there is to say.
    """

    form: str | None
    rank: int | None
    full_rank: int
    params: int
    macs: int
    note: str | None = None


def cut_of(target: Target, ranks: Mapping[str, int], macs: int) -> Cut:
    """What a plan means for an operator.

    Args:
        target: The operator.
        ranks: View name to rank, or `DENSE`.
        macs: Its multiplications while dense.
    """
    taken = [view for view in views_of(target) if ranks.get(view.name, DENSE) != DENSE]
    if not taken:
        return Cut(None, None, target.full_rank, target.params, macs)
    if len(taken) > 1:
        own, inner = taken
        rank_in, rank = ranks[inner.name], ranks[own.name]
        params, all_macs = _tucker(own, inner, rank_in, rank, macs)
        note = f"input rank {rank_in} of {inner.full_rank}"
        return Cut("Tucker-2", rank, own.full_rank, int(params), round(float(all_macs)), note)
    view, rank = taken[0], ranks[taken[0].name]
    form = _OF_VIEW.get(view.view, FORMS[view.op_type])
    full_macs = round(float(view.factor_macs(rank, macs)))
    return Cut(form, rank, view.full_rank, view.factor_params(rank), full_macs)
