"""Counting the multiplications of linear operators on one real sample."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt
import onnx_ir as ir

from ..errors import InputError
from ..passes import CountProducts, LiftWeights, Term
from .session import Runtime

__all__ = ["Arithmetic", "count_arithmetic"]


@dataclasses.dataclass(frozen=True)
class Arithmetic:
    """Multiply-accumulate operations of one sample.

    Attributes:
        total: Of all linear operators that ran, as often as they did.
        nodes: Of each, by name.
        shapes: Of the first operand of each, by name; not of those in loops.
        left: Names of operators that could not be counted.
    """

    total: int
    nodes: dict[str, int]
    shapes: dict[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)
    left: tuple[str, ...] = ()


def count_arithmetic(
    model: ir.Model,
    feeds: Mapping[str, npt.NDArray[Any]],
    runtime: Runtime,
    samples: int = 1,
    lifted: ir.Model | None = None,
) -> Arithmetic:
    """Runs the model once and counts from the shapes that occur, so declared shapes do not matter.

    Args:
        model: The model; it is not changed.
        feeds: What to run it on.
        runtime: How to run it.
        samples: Number of samples in `feeds`; counts are divided by it.
        lifted: A copy of the model, after `LiftWeights`, that may be changed; None to make one.
    """
    count = CountProducts()
    try:
        found = _run(lifted or _lifted(model), count, feeds, runtime)
    except InputError:
        if not count.sums:
            raise
        # Bodies that hold what cannot leave them.
        count = CountProducts(loops=False)
        found = _run(_lifted(model), count, feeds, runtime)
    nodes: dict[str, int] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    known = {value: found[name].tolist() for value, name in count.shapes.items()}
    for name, terms in count.terms:
        nodes[name] = nodes.get(name, 0) + _counted(terms, known) // samples
    for name, operand in count.operands.items():
        shapes[name] = tuple(known[operand])
    for name, outputs in count.sums:
        macs = sum(int(found[output].sum()) for output in outputs)
        nodes[name] = nodes.get(name, 0) + macs // samples
    return Arithmetic(sum(nodes.values()), nodes, shapes, tuple(count.left))


def _lifted(model: ir.Model) -> ir.Model:
    """A copy in which what is counted does not depend on how a product is written."""
    copy = model.clone()
    LiftWeights()(copy)
    return copy


def _run(
    observed: ir.Model,
    count: CountProducts,
    feeds: Mapping[str, npt.NDArray[Any]],
    runtime: Runtime,
) -> dict[str, npt.NDArray[Any]]:
    """Runs a model with counting outputs."""
    count(observed)
    wanted = {*count.shapes.values(), *(name for _, names in count.sums for name in names)}
    return runtime.session(observed, sorted(wanted)).run(feeds) if wanted else {}


def _counted(terms: Sequence[Term], shapes: Mapping[ir.Value, Sequence[int]]) -> int:
    """The multiplications of one node, none if it did not run: then its result has no shape."""
    if not all(shapes[length.value] for term in terms for length in term):
        return 0
    return sum(
        math.prod(math.prod(shapes[x.value][x.start : x.stop]) for x in term) for term in terms
    )
