"""Backward elimination of channels: which go first, and what it loses that they are gone.

A reader computes y = h W from the channels h. Where channels S are gone, the best that it can do
with the others is to take h_S for what h predicts of it: with Σ the covariance of h, P = Σ⁻¹ and
M = W G Wᵀ, that costs

    ½ tr((P_SS)⁻¹ M_SS)

in the metric G of its output, for (P_SS)⁻¹ is what remains unknown of h_S (the Schur complement).
It is the score of the optimal brain surgeon (Hassibi and Stork, "Second order derivatives for
network pruning", 1993), of all weights that read a channel together. What is left has a P and an M
of its own, so that further channels add to the loss: projections onto smaller and smaller spaces,
whose squared errors add up.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from ...arrays import AnyArray, Array
from ...passes.narrowing.group import Indices
from ..eigen import positive_inverse

__all__ = ["Elimination", "Reading", "eliminate"]

# Channels among which a few are looked for that go next, for each of those.
_POOL = 4

# Steps in which all channels go, about: the more go at once, the less is computed.
_STEPS = 40


# Share of the channels at which those that are gone are no longer carried along.
_COMPACT = 0.8

# Rows up to which all is computed in double precision; the order of many needs no more than half.
_EXACT = 256


@dataclasses.dataclass
class Reading:
    """What one reader makes of channels.

    Attributes:
        covariance: Σ, positive definite, shape (K, K).
        moment: M = W G Wᵀ, shape (K, K).
        rows: The rows of each channel, shape (width, taps); others stay.
    """

    covariance: Array
    moment: Array
    rows: Indices


@dataclasses.dataclass(frozen=True)
class Elimination:
    """The outcome.

    Attributes:
        order: The channels, those that go last first, shape (width,).
        losses: What it loses to keep so many of them, shape (width + 1,), not increasing.
    """

    order: Indices
    losses: Array

    def kept(self, width: int) -> Indices:
        """The channels that stay of so many, in ascending order."""
        return np.sort(self.order[:width])


class _State:
    """What is left of one reading: of the channels that are still there, by their numbers."""

    def __init__(self, precision: AnyArray, moment: AnyArray, rows: Indices) -> None:
        self.precision, self.moment, self.rows = precision, moment, rows
        # Where a change is written before it is subtracted: to touch new memory takes longer.
        self._change = np.empty_like(moment)

    @classmethod
    def of(cls, reading: Reading) -> _State:
        """All channels."""
        dtype = np.float64 if len(reading.moment) <= _EXACT else np.float32
        precision = positive_inverse(reading.covariance).astype(dtype)
        return cls(precision, reading.moment.astype(dtype), reading.rows)

    @property
    def reads_others(self) -> bool:
        """Tells whether there are rows of no channel."""
        return self.rows.size < len(self.moment)

    def scores(self, channels: Indices) -> Array:
        """What it loses that one more channel goes, of each of some, shape (channels,)."""
        rows = self.rows[channels]
        if rows.shape[1] == 1:
            known, own = (each.diagonal()[rows[:, 0]] for each in (self.precision, self.moment))
            return np.asarray(0.5 * own / np.maximum(known, 1e-300))
        taps = rows[:, :, None], rows[:, None, :]
        return _scores(np.asarray(self.precision[taps]), np.asarray(self.moment[taps]))

    def within(self, channels: Indices) -> _State:
        """The same of some channels alone: their scores need nothing of the others."""
        rows = self.rows[channels]
        inner = np.ix_(rows.reshape(-1), rows.reshape(-1))
        own = np.arange(rows.size).reshape(rows.shape)
        return _State(self.precision[inner], self.moment[inner], own)

    def drop(self, channels: Indices) -> None:
        """Takes channels out: the others make up for them."""
        gone = self.rows[channels].reshape(-1)
        if len(gone) == 1:
            self._drop_row(int(gone[0]))
            return
        across = self.precision[:, gone]
        # What row of W is added to each row for those that go, with a minus.
        weights = np.linalg.solve(self.precision[np.ix_(gone, gone)], across.T)
        self.precision -= np.matmul(across, weights, out=self._change)
        # (I - wᵀ e) M (I - e w), with e the rows that go, is M less something and its transpose.
        inner = self.moment[np.ix_(gone, gone)]
        half = self.moment[:, gone] - 0.5 * weights.T @ inner
        both = np.hstack([half, weights.T]), np.vstack([weights, half.T])
        self.moment -= np.matmul(*both, out=self._change)

    def _drop_row(self, gone: int) -> None:
        """The same of one row, which is a matter of outer products."""
        across = self.precision[:, gone]
        weights = across / across[gone]
        half = self.moment[:, gone] - 0.5 * self.moment[gone, gone] * weights
        self.precision -= np.multiply.outer(across, weights, out=self._change)
        self.moment -= np.multiply.outer(half, weights, out=self._change)
        self.moment -= np.multiply.outer(weights, half, out=self._change)


def eliminate(readings: Sequence[Reading], width: int) -> Elimination:
    """Takes channels out, one after the other, those that lose least first.

    Args:
        readings: What each reader makes of the channels: their losses add up.
        width: The number of channels.
    """
    states = [_State.of(reading) for reading in readings]
    names = left = np.arange(width)
    states = [state.within(left) if state.reads_others else state for state in states]
    order: list[int] = []
    losses = [0.0]
    step = max(1, width // _STEPS)
    while len(left):
        count = min(step, len(left))
        scores = sum(state.scores(left) for state in states)
        pool = left[np.argsort(scores, kind="stable")[: _POOL * count]]
        gone = _next(states, pool, count, losses)
        order += names[gone].tolist()
        for state in states:
            state.drop(gone)
        left = np.setdiff1d(left, gone)
        if len(left) < _COMPACT * len(names):  # what is left is cheaper to update by itself
            states = [state.within(left) for state in states]
            names, left = names[left], np.arange(len(left))
    return Elimination(np.array(order[::-1], np.int64), np.array(losses[::-1]))


def _next(states: Sequence[_State], pool: Indices, count: int, losses: list[float]) -> Indices:
    """Those of a pool that go next, one after the other; what that loses is noted."""
    parts = [state.within(pool) for state in states]
    members, gone = np.arange(len(pool)), []
    for _ in range(count):
        lost = np.sum([part.scores(members) for part in parts], axis=0)
        least = int(np.argmin(lost))
        losses.append(losses[-1] + max(float(lost[least]), 0.0))
        gone.append(int(members[least]))
        for part in parts:
            part.drop(members[least : least + 1])
        members = members[members != gone[-1]]
    return np.asarray(pool[gone])


def _scores(precision: AnyArray, moment: AnyArray) -> Array:
    """½ tr(P⁻¹ M) of each of a stack of matrices, shape (channels, taps, taps)."""
    traces = np.trace(np.linalg.solve(precision, moment), axis1=1, axis2=2)
    return np.asarray(0.5 * traces)
