"""Runs segments of a graph, each over all batches, with what crosses between them on disk."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np
import onnx_ir as ir

from ..arrays import AnyArray, Arrays
from ..passes.segments import NotSegmentedError, SegmentModel, SegmentModels
from .footprint import fed_bytes, footprint_of
from .paging import keep, let_go
from .session import Runtime

__all__ = ["Fed", "SegmentRun", "SegmentedRun"]

# What a runtime keeps at hand, beside what a run needs at once.
_AT_HAND = 2

# From a batch, a draw and the names of what is read to feeds that nothing computes.
Feeding = Callable[[int, int, Sequence[str]], Mapping[str, AnyArray]]


class Fed(Protocol):
    """A batch.

    Attributes:
        feeds: What inputs of the graph take.
        origin: Where that comes from, for messages.
    """

    @property
    def feeds(self) -> Arrays: ...  # noqa: D102
    @property
    def origin(self) -> str: ...  # noqa: D102


@dataclasses.dataclass(frozen=True)
class SegmentRun:
    """One batch in one segment.

    Attributes:
        segment: Which segment.
        batch: Which batch.
        draw: Which of several draws, backward.
        values: What is wanted of it, by name.
        last: Whether no further batch runs in this segment, in this direction.
    """

    segment: int
    batch: int
    draw: int
    values: Arrays
    last: bool


class SegmentedRun:
    """Some batches on their way through the segments: forward first, then backward.

    One segment is loaded at a time. A value is kept until its last reader ran, mostly on disk.

    Attributes:
        spooled: Bytes that are kept, beside what was fed.
        most_spooled: The most of these so far.
        most_taken: Bytes that a batch took in a segment, at most, if that is measured.
    """

    def __init__(
        self,
        models: SegmentModels,
        runtime: Runtime,
        batches: Sequence[Fed],
        draws: int = 1,
        *,
        measured: bool = False,
    ) -> None:
        """Takes the batches.

        Args:
            models: The segments.
            runtime: What runs them.
            batches: What to run them on.
            draws: How often each batch goes backward.
            measured: Whether to find out what a batch takes.
        """
        self._models, self._runtime, self._batches = models, runtime, batches
        self._draws, self._measured = draws, measured
        self._values: list[Arrays] = [dict(batch.feeds) for batch in batches]
        # What comes backward, of each batch and draw.
        self._drawn: list[list[Arrays]] = [[{} for _ in range(draws)] for _ in batches]
        self._fed = {name for batch in batches for name in batch.feeds}
        steps = [*models.forward, *reversed(models.backward)]
        self._last_read = {n: i for i, step in enumerate(steps) for n in step.inputs + step.known}
        self.spooled = self.most_spooled = 0
        self.most_taken = 0.0

    def forward(self) -> Iterator[SegmentRun]:
        """Yields what each segment gives for each batch, from the first segment to the last."""
        for index, model in enumerate(self._models.forward):
            yield from self._through(model, index, index, 1, lambda *_: {}, backward=False)

    def backward(self, feeding: Feeding) -> Iterator[SegmentRun]:
        """Yields what the adjoint of each segment gives, from the last segment to the first.

        Args:
            feeding: Gives what seeds the gradients.
        """
        count = len(self._models.forward)
        for step, model in enumerate(reversed(self._models.backward)):
            index = count - 1 - step
            yield from self._through(
                model, index, count + step, self._draws, feeding, backward=True
            )

    def _through(
        self,
        model: SegmentModel,
        index: int,
        step: int,
        draws: int,
        feeding: Feeding,
        *,
        backward: bool,
    ) -> Iterator[SegmentRun]:
        """Runs all batches through one model."""
        run = None
        if model.model is not None:
            self._describe(model)
            run = self._runtime.session(model.model, model.outputs).run
        for number, batch in enumerate(self._batches):
            for draw in range(draws):
                at = self._values[number] | self._drawn[number][draw]
                found: Arrays = {name: at[name] for name in model.known}
                if run is not None:
                    at |= feeding(number, draw, model.inputs)
                    feeds = {name: at[name] for name in model.inputs if name in at}
                    found |= run(feeds, batch.origin)
                    if self._measured and model.model is not None:
                        self._measure(model.model, feeds, found)
                    kept = self._drawn[number][draw] if backward else self._values[number]
                    self._spool(kept, {n: found[n] for n in model.outputs}, step)
                last = number == len(self._batches) - 1 and draw == draws - 1
                yield SegmentRun(index, number, draw, found, last)
                del found, at
            self._drop(number, step)
        if model.model is not None:
            del run
            let_go(model.model)

    def _describe(self, model: SegmentModel) -> None:
        """Tells the runtime the types of what crosses into a model, and of shapes what is true."""
        assert model.model is not None
        for value in model.model.graph.inputs:
            name = value.name or ""
            seen = [self._values[i].get(name) for i in range(len(self._batches))]
            seen += [drawn.get(name) for each in self._drawn for drawn in each]
            arrays = [array for array in seen if array is not None]
            if not arrays or name in self._fed:
                continue
            value.type = ir.TensorType(ir.DataType.from_numpy(arrays[0].dtype))
            value.shape = None
            if len({array.ndim for array in arrays}) == 1:
                sizes = zip(*(array.shape for array in arrays), strict=True)
                value.shape = ir.Shape([s[0] if len(set(s)) == 1 else None for s in sizes])

    def _spool(self, kept: Arrays, values: Arrays, step: int) -> None:
        """Keeps what a later step reads."""
        for name, array in values.items():
            if self._last_read.get(name, -1) <= step:
                continue
            if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiub":
                raise NotSegmentedError(f"'{name}', which is no tensor of numbers, crosses")
            kept[name] = keep(array)
            self.spooled += array.nbytes
        self.most_spooled = max(self.most_spooled, self.spooled)

    def _drop(self, number: int, step: int) -> None:
        """Lets go of what no later step reads."""
        for kept in (self._values[number], *self._drawn[number]):
            for name in [n for n in kept if self._last_read.get(n, -1) <= step]:
                self.spooled -= 0 if name in self._fed else kept[name].nbytes
                del kept[name]

    def _measure(self, model: ir.Model, feeds: Arrays, found: Arrays) -> None:
        """Finds out what a batch takes while it runs."""
        live = footprint_of(model, feeds, self._runtime).live * fed_bytes(feeds)
        given = sum(array.nbytes for array in found.values())
        self.most_taken = max(self.most_taken, _AT_HAND * live + given)
