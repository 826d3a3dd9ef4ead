"""Latency of a target at every rank: told at some, interpolated between them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from ..curve import Curve
from ..passes import Chain, Factors, RewriteTargets, Target, isolated
from ..passes.identity_blocks import WriteIdentityBlocks
from .latency_source import Family, Feeds, LatencySource

__all__ = ["bytes_between", "grid", "measure_curves"]

# Ranks that are measured, and the smallest of them as a share of the largest.
_POINTS, _SPAN = 7, 1 / 24

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


def measure_curves(
    model: ir.Model,
    targets: Sequence[Target],
    shapes: Mapping[str, tuple[int, ...]],
    ranks: Mapping[str, npt.NDArray[np.int64]],
    source: LatencySource,
    advance: Callable[[int], None] = lambda _: None,
    chains: Mapping[str, Chain] | None = None,
) -> dict[str, Curve]:
    """Curves of every target in the shapes that it has in its model.

    Args:
        model: The normalised model.
        targets: Its targets, and unfoldings of them.
        shapes: Operator name to the shape of its input; those without one are left out.
        ranks: Target name to the ranks that it may have.
        source: Who tells latencies.
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
                chain = (chains or {}).get(target.name)
                family = _family(target, shape, grid(ranks[target.name]), model, chain, others)
                curve = source.curve(family)
                if curve is not None:
                    curves[target.name] = curve
            advance(1)
    finally:  # a timer may end early
        source.save()
    return curves


def _family(
    target: Target,
    shape: tuple[int, ...],
    ranks: tuple[int, ...],
    model: ir.Model,
    chain: Chain | None,
    others: int,
) -> Family:
    """A target, dense and at each of some ranks."""
    written = "" if chain is None else f" as {chain.title(target)}"
    block = _BLOCK if target.identity else ""
    return Family(
        f"{target.name}{block}{written}",
        ranks,
        lambda: f"{_kind(target)}{block}{written} of {list(shape)}",
        functools.partial(_models, target, shape, ranks, model, chain),
        functools.partial(_feed, target, shape),
        others,
    )


_BLOCK = " as an identity block"


def _kind(target: Target) -> str:
    """What decides a target's latency besides its input's shape, its rank and how it is written."""
    weight = target.weight
    attributes = sorted(f"{a.name}={a.value}" for a in target.node.attributes.values())
    biased = len(target.node.inputs) > 2 and target.node.inputs[2] is not None
    return (
        f"{target.node.op_type}({', '.join(attributes)}) {weight.dtype} "
        f"{target.groups}x{target.rows}x{target.columns}{' + bias' if biased else ''}"
        f"{'' if target.is_own else f' in its {target.unfolding.name} unfolding'}"
    )


def _feed(target: Target, shape: Sequence[int]) -> Feeds:
    """Random numbers for the input of an isolated target."""
    assert target.weight.dtype is not None
    array = np.random.default_rng(0).standard_normal(tuple(shape))
    return {"x": array.astype(target.weight.dtype.numpy())}


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
