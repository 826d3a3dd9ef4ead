"""Latency of a target at every rank: measured at some, interpolated between them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from ..curve import Curve
from ..passes import Chain, Factors, RewriteTargets, Target, isolated
from ..passes.identity_blocks import WriteIdentityBlocks
from .interleaved import latencies
from .latency_cache import LatencyCache
from .session import Runtime

__all__ = [
    "FeedTimer",
    "Feeds",
    "Timer",
    "bytes_between",
    "grid",
    "measure_curves",
    "time_fed",
    "time_models",
]

# From models, the shape of their input "x", how to run them, and the bytes that are read between
# two runs, to milliseconds; they take turns.
Timer = Callable[[Sequence[ir.Model], Sequence[int], Runtime, int], list[float]]

# By the names of inputs what a model is run on.
Feeds = Mapping[str, npt.NDArray[Any]]

# The same of models of any inputs.
FeedTimer = Callable[[Sequence[ir.Model], Feeds, Runtime, int], list[float]]

# Ranks that are measured, and the smallest of them as a share of the largest.
_POINTS, _SPAN = 7, 1 / 24

# Time for all ranks of a target.
_SECONDS = 1.0

# Caches are no larger than this; nor need more be read to empty them.
_CACHES = 2**28


def grid(ranks: npt.NDArray[np.int64]) -> tuple[int, ...]:
    """Chooses the ranks to measure: evenly spaced in their logarithm, the largest included."""
    if not len(ranks):
        return ()
    largest = float(ranks[-1])
    wanted = np.geomspace(max(float(ranks[0]), _SPAN * largest), largest, _POINTS)
    nearest = np.abs(ranks[None, :] - wanted[:, None]).argmin(1)
    return tuple(int(rank) for rank in np.unique(ranks[nearest]))


def bytes_between(targets: Iterable[Target]) -> int:
    """The bytes that are read between two runs of an operator: those of all weights.

    To a power of two, so that models of about one size share what was measured.
    """
    weights = {target.operator: target.params * target.itemsize for target in targets}
    return min(_CACHES, 1 << max(0, int(sum(weights.values())).bit_length() - 1))


def time_models(
    models: Sequence[ir.Model], shape: Sequence[int], runtime: Runtime, others: int
) -> list[float]:
    """Measures models of one input in turns, in onnxruntime (see `time_fed`)."""
    x = models[0].graph.inputs[0]
    assert x.dtype is not None
    array = np.random.default_rng(0).standard_normal(tuple(shape)).astype(x.dtype.numpy())
    return time_fed(models, {"x": array}, runtime, others)


def time_fed(
    models: Sequence[ir.Model], feeds: Feeds, runtime: Runtime, others: int
) -> list[float]:
    """Measures models in turns, in onnxruntime.

    Between two runs of an operator, a model runs all its others, whose weights push this one's out
    of the caches: with few rows it is reading the weights that takes the time. So as many bytes
    as they have are read here, too.
    """
    sessions = [runtime.timed.session(model) for model in models]
    # Not zeros: all pages of those are one page of memory, and evict nothing.
    rest = np.ones(max(1, others // 8), np.int64)
    return latencies(sessions, feeds, _SECONDS, rest.max).least


def measure_curves(
    model: ir.Model,
    targets: Sequence[Target],
    shapes: Mapping[str, tuple[int, ...]],
    ranks: Mapping[str, npt.NDArray[np.int64]],
    cache: LatencyCache,
    timer: Timer = time_models,
    advance: Callable[[int], None] = lambda _: None,
    chains: Mapping[str, Chain] | None = None,
) -> dict[str, Curve]:
    """Measures every target in the shapes that it has in its model, alike ones once.

    Args:
        model: The normalised model.
        targets: Its targets, and unfoldings of them.
        shapes: Operator name to the shape of its input; those without one are left out.
        ranks: Target name to the ranks that it may have.
        cache: How to run the operators, and what was measured so before.
        timer: What measures.
        advance: Called after each target with 1.
        chains: Target name to what becomes of it, where that is no plain pair.

    Returns:
        Target name to curve.
    """
    curves = {}
    others = bytes_between(targets)
    try:
        for target in targets:
            shape = shapes.get(target.operator)
            if shape and all(shape):
                wanted = grid(ranks[target.name])
                chain = (chains or {}).get(target.name)
                named = "" if chain is None else f" as {chain.title(target)}"
                key = f"{_kind(target)}{named} of {list(shape)} at {list(wanted)}"
                key += f", {others} bytes between"
                times = cache.get(key, 1 + len(wanted))
                if times is None:
                    times = timer(
                        _models(target, shape, wanted, model, chain), shape, cache.runtime, others
                    )
                    cache.put(key, times)
                curves[target.name] = Curve(times[0], wanted, tuple(times[1:]))
            advance(1)
    finally:  # a timer may end early
        cache.save()
    return curves


def _kind(target: Target) -> str:
    """The key of what decides a target's latency besides its input's shape and its rank."""
    weight = target.weight
    attributes = sorted(f"{a.name}={a.value}" for a in target.node.attributes.values())
    biased = len(target.node.inputs) > 2 and target.node.inputs[2] is not None
    return (
        f"{target.node.op_type}({', '.join(attributes)}) {weight.dtype} "
        f"{target.groups}x{target.rows}x{target.columns}{' + bias' if biased else ''}"
        f"{'' if target.is_own else f' in its {target.unfolding.name} unfolding'}"
        f"{' as an identity block' if target.identity else ''}"
    )


def _models(
    target: Target, shape: Sequence[int], ranks: Sequence[int], model: ir.Model, chain: Chain | None
) -> list[ir.Model]:
    """The dense operator, and then its factors at each rank, each in a model of its own."""
    rng = np.random.default_rng(1)
    models = [isolated(target, shape, model)]
    for rank in ranks:
        factors = Factors(
            rng.standard_normal((target.groups, target.rows, rank)),
            rng.standard_normal((target.groups, rank, target.columns)) / 16,
            chain=chain,
        )
        cut = isolated(target, shape, model)
        RewriteTargets({target.name: factors})(cut)
        if target.identity:
            WriteIdentityBlocks()(cut)
        models.append(cut)
    return models
