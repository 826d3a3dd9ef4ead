"""Random numbers that depend on what they are for, not on when they are drawn.

A key belongs to one sample of the data and to one purpose, so what is drawn for it is the same in
every batch, thread and process. Keys are hashes (the finalizer of SplitMix64: Steele, Lea and
Flood, "Fast splittable pseudorandom number generators", 2014); numbers come from Philox, a
generator that counts (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2,
3", 2011).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

__all__ = ["Keys", "exponential", "keys_of", "normal", "places", "uniform"]

# One for each sample.
Keys = npt.NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def keys_of(indices: npt.NDArray[np.int64], *purpose: int | str) -> Keys:
    """A key for each sample, shape (samples,).

    Args:
        indices: The place of each sample in the whole data set.
        purpose: What the numbers are for: a seed, the name of an output, the number of a draw.
    """
    key = np.zeros(1, np.uint64)
    for part in purpose:
        number = zlib.crc32(part.encode()) if isinstance(part, str) else part
        key = _mixed(key + np.array([number % 2**63], np.uint64) * _GOLDEN)
    return _mixed(key + (indices.astype(np.uint64) + np.uint64(1)) * _GOLDEN)


def uniform(keys: Keys, count: int) -> npt.NDArray[np.float32]:
    """Numbers from 0 up to 1, shape (samples, count)."""
    return _drawn(keys, count, lambda rng, out: rng.random(out=out, dtype=np.float32))


def exponential(keys: Keys, count: int) -> npt.NDArray[np.float32]:
    """Numbers of the exponential distribution with mean 1, shape (samples, count)."""
    return _drawn(keys, count, lambda rng, out: rng.standard_exponential(out=out, dtype=np.float32))


def normal(keys: Keys, count: int) -> npt.NDArray[np.float32]:
    """Numbers of the standard normal distribution, shape (samples, count)."""
    return _drawn(keys, count, lambda rng, out: rng.standard_normal(out=out, dtype=np.float32))


def places(keys: Keys, count: int, wanted: int) -> npt.NDArray[np.int64]:
    """So many different places out of `count` for each sample, shape (samples, wanted).

    Far cheaper than a generator for each sample: their order is that of a hash.
    """
    steps = np.arange(count, dtype=np.uint32) * np.uint32(0x9E3779B9)
    z = keys.astype(np.uint32)[:, None] ^ (keys >> np.uint64(32)).astype(np.uint32)[:, None] + steps
    z = (z ^ (z >> np.uint32(16))) * np.uint32(0x21F0AAAD)
    z = (z ^ (z >> np.uint32(15))) * np.uint32(0x735A2D97)
    order = z ^ (z >> np.uint32(15))
    return np.sort(order.argpartition(wanted, axis=1)[:, :wanted], axis=1)


def _drawn(
    keys: Keys,
    count: int,
    draw: Callable[[np.random.Generator, npt.NDArray[np.float32]], object],
) -> npt.NDArray[np.float32]:
    numbers = np.empty((len(keys), count), np.float32)
    for key, row in zip(keys, numbers, strict=True):
        draw(np.random.Generator(np.random.Philox(key=int(key))), row)
    return numbers


def _mixed(z: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The finalizer of SplitMix64; products wrap around."""
    z = (z ^ (z >> np.uint64(30))) * _FIRST
    z = (z ^ (z >> np.uint64(27))) * _SECOND
    return np.asarray(z ^ (z >> np.uint64(31)))
