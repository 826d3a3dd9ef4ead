"""Finds the caches of a decoder: what it gives of the keys and values for its next step."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Sequence

import onnx_ir as ir

from .adjoint import inference
from .find_state import FindState

__all__ = ["Cache", "FindCaches", "with_lengths"]

# Exporters call so what is fed again as "past…".
_PRESENT = re.compile(r"(^|[._/])presents?(_key_values)?([._]|$)", re.IGNORECASE)
_AXES = 4  # of samples, heads, positions and channels, in some order


@dataclasses.dataclass(frozen=True)
class Cache:
    """An input that takes what a decoder kept of the positions before.

    Attributes:
        input: Its name.
        output: The output that is its next value.
        axis: The axis of the positions.
        lengths: The lengths of all axes; None for those of samples and positions, and where neither
            end declares one (see `with_lengths`). Positions have one where a window is kept: an
            empty cache has as many rows, none of which counts.
        grows: Whether the output is longer along it than the input, by what is fed in this step;
            else it is kept as it is (of an encoder's positions).
    """

    input: str
    output: str
    axis: int
    lengths: tuple[int | None, ...]
    grows: bool


class FindCaches(ir.passes.InPlacePass):
    """Pairs the caches among the inputs with the outputs that take their places; only reads.

    An input and an output of a type, whose names differ only in what says which comes first (see
    `FindState`), are a cache if they have four axes or more, and

    - are alike along all of them but one, which is no axis of samples and has another symbol in
      the output: a recurrent state keeps its shape;
    - or are alike along all, one of them open, and the output is called `present…`.

    Outputs of four axes called `present…` are caches without an input, too: of a model for the
    first step alone.

    Attributes:
        caches: What inputs take.
        outputs: The names of all outputs that only feed caches.
    """

    def __init__(self) -> None:
        self.caches: list[Cache] = []
        self.outputs: list[str] = []

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Fills the attributes."""
        finder = FindState()
        finder(model)
        inputs = {value.name: value for value in model.graph.inputs}
        outputs = {value.name: value for value in model.graph.outputs}
        samples = {value.shape[0] for value in inputs.values() if value.shape}
        for given, back in finder.alike:
            cache = _cache(inputs[given], outputs[back], samples)
            if cache is not None:
                self.caches.append(cache)
        fed = {cache.output for cache in self.caches}
        self.outputs = [
            name for name, value in outputs.items() if name and (name in fed or _is_present(value))
        ]
        return ir.passes.PassResult(model, modified=False)


def _cache(given: ir.Value, back: ir.Value, samples: Collection[object]) -> Cache | None:
    """The cache that an input and an output are; None where they are none.

    Args:
        given: The input.
        back: The output.
        samples: The first axes of all inputs.
    """
    if given.shape is None or back.shape is None or len(given.shape) < _AXES:
        return None
    pairs = list(zip(given.shape, back.shape, strict=True))
    open_axes = [
        axis
        for axis, (length, _) in enumerate(pairs)
        if axis and not isinstance(length, int) and (length.value is None or length not in samples)
    ]
    longer = [axis for axis in open_axes if pairs[axis][0] != pairs[axis][1]]
    if len(longer) == 1:
        (axis,) = longer
    elif _is_present(back) and not longer and len(open_axes) == 1:
        (axis,) = open_axes
    else:
        return None
    lengths = [next((d for d in pair if isinstance(d, int)), None) for pair in pairs]
    lengths[0], lengths[axis] = None, _window(given)
    return Cache(given.name or "", back.name or "", axis, tuple(lengths), grows=bool(longer))


def _window(given: ir.Value) -> int | None:
    """The window that onnxruntime's attention keeps in a cache; None where it keeps all."""
    for node in given.consumers():
        if node.attributes.get_int("sliding_window_cache", 0):
            return node.attributes.get_int("local_window_size")
    return None


def with_lengths(model: ir.Model, caches: Sequence[Cache]) -> list[Cache]:
    """The caches with the lengths that follow from what the model computes, where none is declared.

    Args:
        model: The model; it is not changed.
        caches: Its caches.
    """
    if not any(_is_open(cache) for cache in caches):
        return list(caches)
    facts = inference.infer(model)
    found = []
    for cache in caches:
        back = next(value for value in model.graph.outputs if value.name == cache.output)
        computed = facts.dims.get(back)
        lengths = list(cache.lengths)
        if computed is not None and len(computed) == len(lengths):
            for axis, length in enumerate(computed):
                if axis not in (0, cache.axis) and isinstance(length, int):
                    lengths[axis] = lengths[axis] or length
        found.append(dataclasses.replace(cache, lengths=tuple(lengths)))
    return found


def _is_open(cache: Cache) -> bool:
    """Whether a length is not known, but for those of samples and positions."""
    return any(n is None for axis, n in enumerate(cache.lengths) if axis not in (0, cache.axis))


def _is_present(value: ir.Value) -> bool:
    many = value.shape is not None and len(value.shape) >= _AXES
    return many and bool(_PRESENT.search(value.name or ""))
