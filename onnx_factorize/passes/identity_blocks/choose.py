"""Identity blocks: the same product of two factors from fewer numbers.

Two factors hold r (K + N) numbers, but `down R` and `R⁻¹ up` are the same for every invertible R,
so that r² of them say nothing. With M, some r columns of up, for R⁻¹, an identity stands there:

    down up = (down M) (M⁻¹ up),    M⁻¹ up = [C₁ | I | C₂]

or likewise in some r rows of down. The numbers C are large where those columns are nearly
dependent, and then rounding is amplified: so the columns are chosen, contiguous ones, because to
gather others costs more time than is saved. Nothing here depends on which of all factors of a
product are given.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from ...arrays import Array
from ..linear.target import Side
from .block import Block

__all__ = ["amplification", "choose_block", "identity_blocks"]

# Windows that are looked at on each side, those at both ends included.
_STARTS = 9

# Relative errors of an output that rounding may make, by the digits of the type: in half precision
# those of the product alone are not far below.
_ALLOWED = {np.dtype(np.float64): 1e-5, np.dtype(np.float32): 1e-5, np.dtype(np.float16): 2e-3}

# Ends that amplify rounding no more are taken, without a look at what is between them.
_GOOD = 64.0

# A window between the ends needs one product more: it must be so much better.
_ALIKE = 2.0

# Columns smaller than this share of the root mean square count as if they were as large.
_SMALL = 1e-2


def choose_block(
    down: Array, up: Array, dtype: npt.DTypeLike, sides: Sequence[Side]
) -> Block | None:
    """The identity block of two factors that computes most exactly.

    Args:
        down: Shape (K, rank).
        up: Shape (rank, N).
        dtype: The type that it is stored in, and computes in.
        sides: The sides on which an identity may stand, the one preferred first.

    Returns:
        The block; None where rounding would be amplified beyond what the type allows.
    """
    allowed = _ALLOWED.get(np.dtype(dtype))
    if allowed is None or not (np.isfinite(down).all() and np.isfinite(up).all()):
        return None
    product = _Product.of(down, up)
    best: tuple[float, Block] | None = None
    for ends, side in ((ends, side) for ends in (True, False) for side in sides):
        if best is not None and best[0] <= _GOOD:
            break
        for block in _blocks(product, side, ends=ends):
            grown = amplification(*block.factors, product.sizes)
            dear = not ends or (best is not None and side != best[1].side)
            if best is None or grown * (_ALIKE if dear else 1.0) < best[0]:
                best = grown, block
    unit = float(np.finfo(dtype).eps) / 2
    return best[1] if best is not None and best[0] * unit <= allowed else None


def identity_blocks(down: Array, up: Array, side: Side) -> Iterator[Block]:
    """The identity blocks of two factors on one side, those at the ends first."""
    product = _Product.of(down, up)
    yield from _blocks(product, side, ends=True)
    yield from _blocks(product, side, ends=False)


def amplification(down: Array, up: Array, sizes: Array) -> float:
    """The largest error of an output that rounding makes, in units of the type's rounding.

    Each number between the factors is rounded; so an output's error is the root of the sum of the
    squares of these, as the factor up multiplies them. Rows of x count alike.

    Args:
        down: Shape (K, rank).
        up: Shape (rank, N).
        sizes: The norms of the columns of their product, shape (N,).
    """
    between = np.linalg.norm(down, axis=0)
    errors = np.sqrt(np.square(between[:, None] * up).sum(axis=0))
    mean = np.sqrt(np.mean(np.square(sizes))) if len(sizes) else 0.0
    if not mean:
        return 1.0
    return float((errors / np.maximum(sizes, _SMALL * mean)).max())


@dataclasses.dataclass(frozen=True)
class _Product:
    """The product of two factors by its singular value decomposition, without what is zero.

    Attributes:
        left: Shape (K, components).
        singular: Shape (components,).
        right: Shape (components, N).
        rank: The rank of the factors.
        sizes: The norms of its columns, shape (N,).
    """

    left: Array
    singular: Array
    right: Array
    rank: int
    sizes: Array

    @classmethod
    def of(cls, down: Array, up: Array) -> _Product:
        rank = down.shape[1]
        left, first = np.linalg.qr(_scaled(down))
        right, second = np.linalg.qr(up.T * np.linalg.norm(down, axis=0))
        u, singular, vt = np.linalg.svd(first @ second.T)
        least = max(down.shape[0], up.shape[1]) * np.finfo(np.float64).eps
        kept = singular > least * singular.max(initial=0.0)
        one, other = (left @ u)[:, kept], (vt @ right.T)[kept]
        sizes = np.linalg.norm(singular[kept, None] * other, axis=0)
        return cls(one, singular[kept], other, rank, sizes)


def _scaled(down: Array) -> Array:
    """The columns, each of norm 1."""
    norms = np.linalg.norm(down, axis=0)
    return np.asarray(down / np.where(norms > 0, norms, 1.0))


def _blocks(product: _Product, side: Side, *, ends: bool) -> Iterator[Block]:
    """The blocks on a side whose windows are at the ends, or between them."""
    basis = product.right if side == "output" else product.left.T
    length, rank = basis.shape[1], product.rank
    if length <= rank:
        return  # nothing stands beside the identity
    starts = np.unique(np.linspace(0, length - rank, _STARTS).astype(int)).tolist()
    outer = [starts[0], *starts[:0:-1][:1]]
    for start in outer if ends else starts[1:-1]:
        solved = _solved(basis, start, rank)
        if solved is None:
            continue
        other, before, after = solved
        if side == "output":
            matrix = product.left * product.singular @ other
            yield Block(side, start, matrix, before, after)
        else:
            matrix = other.T @ (product.singular[:, None] * product.right)
            yield Block(side, start, matrix, before.T, after.T)


def _solved(basis: Array, start: int, rank: int) -> tuple[Array, Array, Array] | None:
    """A window of a basis, and what the columns before and behind it are of those in it.

    Args:
        basis: Shape (components, length).
        start: The first column of the window.
        rank: How many columns it has.
    """
    stop = start + rank
    window = basis[:, start:stop]
    rest = np.concatenate([basis[:, :start], basis[:, stop:]], axis=1)
    if not len(basis):
        found = np.zeros((rank, rest.shape[1]))
    elif len(basis) == rank:
        try:
            found = np.linalg.solve(window, rest)
        except np.linalg.LinAlgError:
            return None
    else:
        # Of fewer components than columns, any solution serves: the smallest amplifies least.
        found = np.linalg.lstsq(window, rest, rcond=None)[0]
    if not np.isfinite(found).all() or not np.allclose(window @ found, rest, atol=1e-8):
        return None
    return window, found[:, :start], found[:, start:]
