"""Counting the multiplications of linear operators on one real sample."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from .passes import LiftWeights, ObserveShapes
from .session import Runtime, Session

__all__ = ["Arithmetic", "count_arithmetic"]


@dataclasses.dataclass(frozen=True)
class Arithmetic:
    """Multiply-accumulate operations of one sample.

    Attributes:
        total: Of all MatMul, Gemm, Conv and ConvTranspose nodes that ran.
        nodes: Of each, by name.
        shapes: Of the first operand of each, by name.
    """

    total: int
    nodes: dict[str, int]
    shapes: dict[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)


def count_arithmetic(
    model: ir.Model, feeds: Mapping[str, npt.NDArray[Any]], runtime: Runtime, samples: int = 1
) -> Arithmetic:
    """Runs the model once and counts from the shapes that occur, so declared shapes do not matter.

    Args:
        model: The model; it is not changed.
        feeds: What to run it on.
        runtime: How to run it.
        samples: Number of samples in `feeds`; counts are divided by it.
    """
    observed = model.clone()
    LiftWeights()(observed)  # what is counted must not depend on how a product is written
    observe = ObserveShapes()
    observe(observed)
    wanted = sorted({name for _, _, names in observe.shapes for name in names})
    if not wanted:
        return Arithmetic(0, {})
    found = Session(observed, runtime, wanted).run(feeds)
    nodes: dict[str, int] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    for name, op_type, (a, b, y) in observe.shapes:
        macs = _macs(op_type, found[a], found[b], found[y]) // samples
        nodes[name] = nodes.get(name, 0) + macs
        shapes[name] = tuple(int(length) for length in found[a])
    return Arithmetic(sum(nodes.values()), nodes, shapes)


def _macs(
    op_type: str,
    a: npt.NDArray[np.int64],
    b: npt.NDArray[np.int64],
    y: npt.NDArray[np.int64],
) -> int:
    """Multiplications of one node from the shapes of its operands and of its result."""
    if not y.size:
        return 0
    out = _product(y)
    if op_type == "Conv":
        return out * _product(b[1:])
    if op_type == "ConvTranspose":
        return _product(a) * _product(b[1:])
    if op_type == "Gemm":
        # One of the two axes of A is the contracted one; the other is a row of the result.
        return _product(a) * int(y[1])
    return out * int(a[-1]) if a.size else 0


def _product(lengths: npt.NDArray[np.int64]) -> int:
    return int(np.prod(lengths))
