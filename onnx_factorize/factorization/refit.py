"""Refit cuts one after the other, each to what the cuts before it have made of its input.

Every cut is made as if the rest of the model were dense. In order of the graph, each target's
factor up is fitted again on the calibration data (see `regression`), from what reaches it in
the model as compressed so far to what it gave in the dense one. So later layers correct the errors
of earlier ones, as far as they can, and errors do not add up.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from ..arrays import Array
from ..calibration import CalibrationData
from ..calibration.folds import some_of
from ..options import NORMAL
from ..passes import Factors, FindDownstream, Target, operator_of
from ..runtime.paging import keep
from ..runtime.session import Runtime
from ..statistics.micro_batches import micro_batches
from ..statistics.observation import FedSignals, Observation
from ..statistics.observer import Observer
from .factor_regression import fitted, narrowed, up_matrices
from .incremental import IncrementalRun
from .regression import Regression
from .standing_graph import StandingGraph

__all__ = ["refit"]


# Rows wanted for each dimension of z, and how many there must be.
_ROWS_A_DIMENSION = 40
_LEAST_ROWS_A_DIMENSION = 8

# Places of an image to look at, at least.
_PLACES = 16


def refit(
    normal: ir.Model,
    targets: Sequence[Target],
    factors: Mapping[str, Factors],
    data: CalibrationData,
    only: npt.NDArray[np.bool_],
    runtime: Runtime,
    advance: Callable[[int], None] = lambda _: None,
    most: int = NORMAL.fitted,
) -> dict[str, Factors]:
    """Fits the factors up of cuts to the dense model's values.

    Args:
        normal: The normalised model; it is not changed.
        targets: Its targets.
        factors: Target name to factors; targets without stay dense.
        data: The calibration data.
        only: Which calibration samples may be used, shape (samples,).
        runtime: How to run the models.
        advance: Called after each cut with 1.
        most: Samples to fit on, at most.

    Returns:
        The factors, fitted. Those of targets that cannot be are as they were.
    """
    few = some_of(1, only.astype(np.int64), most)
    found = dict(factors)
    cut = [target for target in targets if target.name in factors]
    # What reaches the others is what they were made for.
    changed = FindDownstream({made.operator or n for n, made in factors.items()})
    changed(normal)
    samples = int(few.sum())
    able = [
        t
        for t in cut
        if t.operator in changed.names and _can_be(t) and _has_rows(t, factors[t.name], samples)
    ]
    if not able:
        return found
    wanted = _Wanted(normal, able, factors, data, few, runtime)
    graph = StandingGraph(normal.clone())
    compressed = IncrementalRun(graph.model, wanted.batches, runtime, data.memory.crossing)
    for group in _readers_of_one_value(graph.in_order(cut)):
        fitted_here = [target for target in group if target in able]
        if fitted_here:
            own = [_own(target) for target in fitted_here]
            compressed.reach(graph.computed_by(group[0].operator))
            seen = _inputs(compressed, own, runtime)
            sums = wanted.regressions(seen, fitted_here)
            found |= {t.name: _solved(t, factors[t.name], sums[t.name]) for t in fitted_here}
        uses = [use for target in group for use in target.uses]
        graph.take({use.name: found[use.name] for use in uses})
        advance(len(group))
    return found


def _inputs(
    run: IncrementalRun, targets: Sequence[Target], runtime: Runtime
) -> Iterator[Observation]:
    """The inputs of targets, batch by batch, in a model that has been run to where they stand."""
    reading: FedSignals | Observer = FedSignals(targets)
    if not all(target.x.name in batch.feeds for target in targets for batch in run.batches):
        reading = Observer(run.model, targets, runtime, side="input")
    return (reading.run(batch) for batch in run.batches)


def _can_be(target: Target) -> bool:
    """Tells whether the fit has a known bias to leave out, and a product of its own to fit."""
    known = _own(target).bias is not None and operator_of(target).is_product
    return known and not target.tied


def _has_rows(target: Target, factors: Factors, samples: int) -> bool:
    """Tells whether so many samples can give the rows that a fit needs at least."""
    if target.convolution is None:
        return True  # every row of every sample is looked at
    length = int(up_matrices(target, factors).shape[1])
    return samples * _places(factors, samples) >= _LEAST_ROWS_A_DIMENSION * length


def _places(factors: Factors, samples: int) -> int:
    """The places of an image that are looked at."""
    return max(_PLACES, -(-_ROWS_A_DIMENSION * factors.rank // samples))


def _own(target: Target) -> Target:
    """The operator's own unfolding, in whose rows regressions are made."""
    return target.own


def _readers_of_one_value(targets: Sequence[Target]) -> list[list[Target]]:
    """Targets in order, those that read the same value together: none feeds another."""
    groups: list[list[Target]] = []
    for target in targets:
        if groups and groups[-1][0].x is target.x:
            groups[-1].append(target)
        else:
            groups.append([target])
    return groups


class _Wanted:
    """The outputs of targets in the dense model, at chosen places: one pass serves all of them.

    Attributes:
        batches: What it was run on.
    """

    def __init__(
        self,
        normal: ir.Model,
        targets: Sequence[Target],
        factors: Mapping[str, Factors],
        data: CalibrationData,
        only: npt.NDArray[np.bool_],
        runtime: Runtime,
    ) -> None:
        self._factors = factors
        own = {target.name: _own(target) for target in targets}
        dense = Observer(normal, list(own.values()), runtime, side="output")
        samples = int(only.sum())
        self._places = {t.name: _places(factors[t.name], samples) for t in targets}
        # Few enough samples to keep what they are made of.
        self.batches = list(micro_batches(data, only, dense))
        self._rows: dict[str, list[npt.NDArray[np.float32] | None]] = {n: [] for n in own}
        for batch in self.batches:
            observation = dense.run(batch)
            for name, target in own.items():
                y = observation.signal(target, self._places[name])
                self._rows[name].append(None if y is None else keep(y))
            del observation, y  # before the next batch runs

    def regressions(
        self, observations: Iterable[Observation], targets: Sequence[Target]
    ) -> dict[str, list[Regression]]:
        """Sums that the regressions of some targets need, group by group.

        Args:
            observations: What each batch shows of the model as compressed so far, at their inputs.
            targets: The targets.
        """
        sums = {
            target.name: [
                Regression(*matrix.shape, centred=_own(target).centred)
                for matrix in up_matrices(target, self._factors[target.name])
            ]
            for target in targets
        }
        for number, observation in enumerate(observations):
            for target in targets:
                own, bias = _own(target), _bias(_own(target))
                y = self._rows[target.name][number]
                x = observation.signal(own, self._places[target.name])
                if x is None or y is None or x.shape[1] != y.shape[1]:
                    continue
                for group, regression in enumerate(sums[target.name]):
                    z = narrowed(target, self._factors[target.name], x[group], group)
                    regression.add(z, y[group] - bias[group].astype(y.dtype))
            del observation, x  # before the next batch runs
        return sums


def _solved(target: Target, factors: Factors, regressions: Sequence[Regression]) -> Factors:
    """The factors with what the regressions found."""
    if regressions[0].rows < _LEAST_ROWS_A_DIMENSION * regressions[0].rank:
        return factors
    known = up_matrices(target, factors)
    found = np.stack([each.solve(b)[0] for each, b in zip(regressions, known, strict=True)])
    made = fitted(factors, found, np.stack([each.moment for each in regressions]))
    shifts = [
        each.shift(matrix)
        for each, matrix in zip(regressions, up_matrices(target, made), strict=True)
    ]
    shift = np.concatenate(shifts) if _own(target).centred else None
    return dataclasses.replace(made, bias_shift=shift)


def _bias(target: Target) -> Array:
    """The vector that the target itself adds, shape (groups, N)."""
    assert target.bias is not None
    return target.bias.reshape(target.groups, -1)
