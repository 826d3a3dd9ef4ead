"""Random numbers that a graph computes from keys: a hash of standard integer operators."""

from __future__ import annotations

import functools
import statistics
import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from ..graph import opset
from .linear.operator_spec import MICROSOFT
from .linear.site import Site

__all__ = ["KeyedNumbers"]

_RANGE_SINCE = 11
_MOD_SINCE = 10

# A prime that leaves 2 when divided by 3, so that no two remainders have one cube; products of two
# of them fit in 64 bits.
_PRIME = 2147483579
_KEY, _TURN, _ROUND = 1327217885, 905791934, 814723
_ROUNDS = 2

# Quantiles that stand for the normal distribution.
_QUANTILES = 2**13

# A uniform number is the middle of one of so many intervals: all are floats, 0 and 1 are none.
_INTERVALS = 2**23


class KeyedNumbers:
    """Makes numbers, at the place of a node, that depend on nothing but keys.

    Sample n of a value has the key n, and its i-th element is a hash of (the node's name, the key,
    i). Where the first axis of the value does not run over samples, its elements are divided among
    the keys all the same. In the body of a Loop the number of the iteration counts too.
    """

    def __init__(self, site: Site, name: str, keys: ir.Value, turns: Sequence[ir.Value]) -> None:
        """Prepares the hash.

        Args:
            site: Where to make the numbers.
            name: What tells the node from others.
            keys: A key for each sample, shape (samples,).
            turns: The numbers of the iterations of the Loops around the node.
        """
        self._site, self._keys = site, keys
        self._opset = opset(site.model)
        own = zlib.crc32(name.encode()) % _PRIME
        seeds = self._mod(self._add(self._mul(self._mod(keys), _KEY), own))
        for turn in turns:
            seeds = self._mod(site.op("Add", seeds, self._mul(self._mod(turn), _TURN)))
        self._seeds = self._cubed(seeds)

    def uniform(self, like: ir.Value) -> ir.Value:
        """Floats between 0 and 1, in the shape of a value."""
        interval = self._one_of(self._hashes(like), _INTERVALS)
        number = self._site.op("Cast", interval, to=int(ir.DataType.FLOAT))
        middle = self._site.op("Add", number, self._float(0.5))
        scaled = self._site.op("Mul", middle, self._float(1 / _INTERVALS))
        return self._site.op("Reshape", scaled, self._site.op("Shape", like))

    def normal(self, like: ir.Value) -> ir.Value:
        """Floats of the standard normal distribution, likewise."""
        table = self._site.constant(_quantiles(), ir.DataType.FLOAT)
        place = self._one_of(self._hashes(like), _QUANTILES)
        drawn = self._site.op("Gather", table, place, axis=0)
        return self._site.op("Reshape", drawn, self._site.op("Shape", like))

    def _hashes(self, like: ir.Value) -> ir.Value:
        """A remainder for each element of a value, in a row."""
        op = self._site.op
        size, samples = op("Size", like), op("Size", self._keys)
        each = op("Div", op("Add", size, op("Sub", samples, self._integer(1))), samples)
        place = self._range(size)
        sample = op("Div", place, each)
        within = op("Sub", place, op("Mul", sample, each))
        hashes = op("Add", op("Gather", self._seeds, sample, axis=0), self._mod(within))
        for _ in range(_ROUNDS):
            hashes = self._cubed(self._mod(self._add(hashes, _ROUND)))
        return hashes

    def _range(self, size: ir.Value) -> ir.Value:
        counted = self._site.op("Range", self._integer(0), size, self._integer(1))
        node = counted.producer()
        if self._opset < _RANGE_SINCE and node is not None:
            node.domain = MICROSOFT
            self._site.model.opset_imports.setdefault(MICROSOFT, 1)
        return counted

    def _cubed(self, value: ir.Value) -> ir.Value:
        square = self._mod(self._site.op("Mul", value, value))
        return self._mod(self._site.op("Mul", square, value))

    def _mod(self, value: ir.Value) -> ir.Value:
        prime = self._integer(_PRIME)
        if self._opset >= _MOD_SINCE:
            return self._site.op("Mod", value, prime)
        whole = self._site.op("Mul", self._site.op("Div", value, prime), prime)
        return self._site.op("Sub", value, whole)

    def _add(self, value: ir.Value, number: int) -> ir.Value:
        return self._site.op("Add", value, self._integer(number))

    def _mul(self, value: ir.Value, number: int) -> ir.Value:
        return self._site.op("Mul", value, self._integer(number))

    def _integer(self, number: int) -> ir.Value:
        return self._site.constant(np.array(number), ir.DataType.INT64)

    def _float(self, number: float) -> ir.Value:
        return self._site.constant(np.array(number), ir.DataType.FLOAT)

    def _one_of(self, hashes: ir.Value, intervals: int) -> ir.Value:
        """The index of the interval, of some equal ones, that a remainder is in."""
        return self._site.op("Div", hashes, self._integer(-(-_PRIME // intervals)))


@functools.cache
def _quantiles() -> npt.NDArray[np.float64]:
    """The middles of equally likely intervals of the normal distribution, of variance 1."""
    of = statistics.NormalDist().inv_cdf
    middles = np.array([of((k + 0.5) / _QUANTILES) for k in range(_QUANTILES)])
    return np.asarray(middles / middles.std())
