"""Costs and losses of an operator's forms: its candidates, and what was taken of them.

An operator is seen as a matrix in one or several ways (`Target.unfoldings`), and each way is cut by
itself, or several at once: as the forms say (see `factorization.forms`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from ..arrays import Array
from ..curve import Curve
from ..deployment import Device
from ..factorization.forms import Form, form_named, form_that_cuts, forms_of, unfoldings_of
from ..passes import Target
from .candidates import candidates, faster, only_dense
from .channel_shares import ChannelShares
from .lagrangian import DENSE, Choices
from .price import Price, Taken

__all__ = [
    "AUTO",
    "Cut",
    "cut_of",
    "cut_unfoldings",
    "narrowed_cut",
    "operator_choices",
    "restricted",
]


# The name of what leaves the form to the budget.
AUTO = "auto"

# Decompositions take the cube of the width, and the spatial unfolding is k times as wide as others:
# a wider one is tried only where it is asked for.
_WIDEST = 1024


def restricted(target: Target, form: str, device: Device | None = None) -> Target:
    """The target with the unfoldings that a form needs; its own where it has no such form.

    Args:
        target: The target.
        form: The form, or `auto`.
        device: What the result is for: where the form is left open, it may not serve all of them.
    """
    if form == AUTO:
        unfoldings = tuple(
            unfolding for unfolding in target.unfoldings if unfolding.width <= _WIDEST
        )
        if device is None or device.forms is None:
            return target.limited(unfoldings)
        wanted = {each for name in device.forms for each in form_named(name).cuts(target) or ()}
        served = tuple(each for each in unfoldings if each.unfolding.name in wanted)
        return target.limited(served, device.forms)
    cuts, by_unfolding = (
        form_named(form).cuts(target),
        {each.unfolding.name: each for each in unfoldings_of(target)},
    )
    if cuts is None or not by_unfolding.keys() >= set(cuts):
        return target.limited()
    first, *others = (by_unfolding[unfolding] for unfolding in cuts)
    return first.limited(tuple(others), (form,))


def operator_choices(
    target: Target,
    losses: Mapping[str, Array],
    price: Price,
    macs: int,
    multiple: Callable[[Target], int],
    form: str = AUTO,
    curves: Mapping[str, Curve] | None = None,
) -> Choices:
    """The candidates of an operator in all of its forms, those alone that lose less for more.

    Args:
        target: The operator.
        losses: Unfolding name to the loss at every rank; an unfolding without one is no candidate.
        price: The unit of the costs.
        macs: Multiplications of the dense operator for one sample.
        multiple: From an unfolding to what its ranks are multiples of.
        form: The only form that is wanted, or `auto`.
        curves: Unfolding name to measured latency, as far as it was measured: what is no faster
            than the dense operator is then no candidate. Where latency is the unit, neither are
            pairs of unfoldings, which are not timed but estimated.
    """
    curves = curves or {}
    timed = curves if price.timed else None
    known = [
        unfolding
        for unfolding in unfoldings_of(target)
        if unfolding.name in losses and (timed is None or unfolding.name in timed)
    ]
    if not known:
        return only_dense(target, price, macs, curves.get(target.name))
    single = {
        cut[0].name: form_named(form).written(cut[0])
        for form, cut in forms_of(target).items()
        if len(cut) == 1
    }

    def alone(one: Target) -> Choices:
        lost, curve, by = losses[one.name], curves.get(one.name), single.get(one.name)
        return candidates(one, lost, price, macs, multiple(one), curve, by)

    found = {unfolding.name: alone(unfolding) for unfolding in known}
    if known == [target] and not target.unfoldings:
        return found[target.name]
    unfoldings = unfoldings_of(target)
    # The dense operator is timed beside each unfolding: what counts is what a cut saves of that.
    dense = only_dense(target, price, macs).dense if timed is None else found[known[0].name].dense
    rows = [
        _Rows.of(
            unfoldings,
            {unfolding.name: choices.ranks[:-1]},
            choices.costs[:-1] + (0.0 if timed is None else dense - choices.dense),
            choices.losses[:-1],
        )
        for unfolding, choices in ((unfolding, found[unfolding.name]) for unfolding in known)
        if timed is not None or form == AUTO or len(form_named(form).cuts(target.own) or ()) == 1
    ]
    joint = {f: cut for f, cut in forms_of(target).items() if len(cut) > 1 and timed is None}
    rows += [
        _joint(target, form_named(f), cut, losses, price, macs, multiple, curves)
        for f, cut in joint.items()
        if set(cut) <= set(known)
    ]
    return _Rows.envelope(rows, dense).choices(target.name, unfoldings, dense)


@dataclasses.dataclass(frozen=True)
class _Rows:
    """Candidates of an operator: a rank for each of its unfoldings, 0 where that is not cut."""

    ranks: npt.NDArray[np.int64]  # shape (candidates, unfoldings)
    costs: Array
    losses: Array

    @classmethod
    def of(
        cls,
        unfoldings: tuple[Target, ...],
        ranks: Mapping[str, npt.NDArray[np.int64]],
        costs: Array,
        losses: Array,
    ) -> _Rows:
        zero = np.zeros(len(costs), np.int64)
        columns = [ranks.get(unfolding.name, zero) for unfolding in unfoldings]
        return cls(np.stack(columns, axis=1), costs, losses)

    def choices(self, name: str, unfoldings: tuple[Target, ...], dense: float) -> Choices:
        """The candidates, the dense operator last."""
        ranks = np.append(self.ranks, np.zeros((1, len(unfoldings)), np.int64), axis=0)
        return Choices(
            name,
            ranks.max(axis=1),
            np.append(self.costs, dense),
            np.append(self.losses, 0.0),
            tuple({v.name: int(r) for v, r in zip(unfoldings, row, strict=True)} for row in ranks),
        )

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


def _joint(
    target: Target,
    form: Form,
    unfoldings: Sequence[Target],
    losses: Mapping[str, Array],
    price: Price,
    macs: int,
    multiple: Callable[[Target], int],
    curves: Mapping[str, Curve],
) -> _Rows:
    """A form that cuts several unfoldings: what each choice of ranks costs, and loses."""
    steps = [
        np.arange(multiple(unfolding), unfolding.full_rank, multiple(unfolding))
        for unfolding in unfoldings
    ]
    ranks = [grid.reshape(-1) for grid in np.meshgrid(*steps, indexing="ij")]
    if all(unfolding.name in curves for unfolding in unfoldings):
        times = form.latency(
            unfoldings, [curves[unfolding.name] for unfolding in unfoldings], ranks
        )
        quick = faster(times, curves[target.name])
        ranks = [each[quick] for each in ranks]
    costs = price.of(
        target,
        Taken(form.params(unfoldings, ranks), form.macs(unfoldings, ranks, macs), nodes=form.nodes),
    )
    lost = sum(
        losses[unfolding.name][each] for unfolding, each in zip(unfoldings, ranks, strict=True)
    )
    named = {unfolding.name: each for unfolding, each in zip(unfoldings, ranks, strict=True)}
    return _Rows.of(unfoldings_of(target), named, costs, np.asarray(lost))


@dataclasses.dataclass(frozen=True)
class Cut:
    """The cut that was taken for an operator.

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
    """The cut that a plan means for an operator.

    Args:
        target: The operator.
        ranks: Unfolding name to rank, or `DENSE`.
        macs: Its multiplications while dense.
    """
    taken = cut_unfoldings(target, ranks)
    if not taken:
        return Cut(None, None, target.full_rank, target.params, macs)
    form, own = form_that_cuts(taken), [ranks[unfolding.name] for unfolding in taken]
    return Cut(
        form.title(taken[0]),
        own[0],
        taken[0].full_rank,
        int(form.params(taken, own)),
        round(float(form.macs(taken, own, macs))),
        form.note(taken, own),
    )


def narrowed_cut(target: Target, left: ChannelShares) -> Cut:
    """What is left of an operator that stays one, with fewer channels."""
    params = round(target.params * left.share)
    return Cut(left.title, None, target.full_rank, params, 0)


def cut_unfoldings(target: Target, ranks: Mapping[str, int]) -> list[Target]:
    """The unfoldings of an operator that a plan cuts."""
    return [
        unfolding
        for unfolding in unfoldings_of(target)
        if ranks.get(unfolding.name, DENSE) != DENSE
    ]
