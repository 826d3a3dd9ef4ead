"""Factors that rounding to few bits harms least."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from ..arrays import Array
from ..graph import Namer, scopes
from .factor_pairs import FactorPair, factor_pairs, rewrite_of

__all__ = ["RotateFactors"]


class RotateFactors(ir.passes.InPlacePass):
    """Gives pairs of factors another basis between them, in which all components are alike.

    `down R` and `R⁻¹ up` have the same product for every invertible R. As they come, components
    differ in size by a factor of a hundred, and so do the numbers that share a scale once they are
    rounded, in the weights and in what the first factor computes. `U √Σ Q` and `Qᵀ √Σ Vᵀ` of the
    product's singular value decomposition, with Q a random orthogonal matrix, spread every
    component over all numbers: none is large, and none is lost (compare Ashkboos et al., "QuaRot",
    2024, who rotate the activations of whole models).

    Pairs whose weights others read, or that hold a third factor, stay as they are.

    Attributes:
        count: How many were rotated.
    """

    def __init__(self) -> None:
        self.count = 0

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Runs the pass on the main graph and every subgraph."""
        self.count, names = 0, Namer(model)
        for scope, _ in scopes(model.graph):
            for pair in list(factor_pairs(model, scope, embeddings=True)):
                self.count += _rotate(model, names, pair)
        return ir.passes.PassResult(model, modified=self.count > 0)


def _rotate(model: ir.Model, names: Namer, pair: FactorPair) -> bool:
    down, up = pair.down, pair.up
    added = down.layer.bias
    if down.groups != up.groups or added is None or added.any():
        return False
    first, last = down.matrices(), up.matrices()
    finite = np.isfinite(first).all() and np.isfinite(last).all()
    if first.shape[2] != last.shape[1] or not finite:
        return False
    every = [_rotated(*each, seed) for seed, each in enumerate(zip(first, last, strict=True))]
    for target, made in zip((down, up), zip(*every, strict=True), strict=True):
        rewrite_of(model, names, target).replace(target, np.stack(made), None)
    return True


def _rotated(down: Array, up: Array, seed: int) -> tuple[Array, Array]:
    """The factors of one group, shapes (K, rank) and (rank, N), in the other basis."""
    left, first = np.linalg.qr(down)
    right, last = np.linalg.qr(up.T)
    u, singular, vt = np.linalg.svd(first @ last.T)
    components, rank = len(singular), down.shape[1]
    normal = np.random.default_rng(seed).standard_normal((rank, rank))
    turn = np.linalg.qr(normal)[0][:components]
    root = np.sqrt(singular)[:, None]
    one = left @ u[:, :components] @ (root * turn)
    return one, (root * turn).T @ vt[:components] @ right.T
