"""A model that is observed segment by segment: one segment's weights are in memory at a time."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from shutil import disk_usage

import onnx_ir as ir

from ..arrays import AnyArray, Arrays
from ..calibration import Batch
from ..errors import InputError
from ..passes import SeedInputs
from ..passes.segments import SegmentModels
from ..runtime.footprint import fed_bytes
from ..runtime.paging import keep
from ..runtime.segmented import SegmentedRun, SegmentRun
from ..runtime.session import Runtime
from .seeding import Seeding

__all__ = ["BySegment", "Seen"]

# A batch, a draw, what was seen, and the targets that it shows.
Seen = tuple[int, int, Mapping[str, AnyArray], frozenset[str]]

# Output name to its shape.
_Shapes = dict[str, tuple[int, ...]]

# What going backward takes, of going forward.
_BACKWARD = 2


class BySegment:
    """Runs the segments of an observed graph (see `SegmentedRun`).

    Attributes:
        segments: How many there are.
        spool: Bytes of temporary files for each byte that is fed, once `taken` was asked.
    """

    def __init__(
        self,
        observed: ir.Model,
        segments: Sequence[Sequence[ir.Node]],
        places: Mapping[str, ir.Node],
        values: Mapping[str, Sequence[str]],
        inputs: Mapping[str, SeedInputs],
        cotangents: Mapping[ir.Value, int],
        seeding: Seeding,
        runtime: Runtime,
    ) -> None:
        """Cuts the graph.

        Args:
            observed: The graph, with its adjoint if there are gradients.
            segments: The nodes of each segment.
            places: Target name to the node that it is, or is within.
            values: Target name to the names of the outputs that show it.
            inputs: Output name to what seeds its gradient; none where there are no gradients.
            cotangents: What the adjoint of a segment passes on, and which that is.
            seeding: Makes the numbers that seed gradients.
            runtime: What runs the segments.
        """
        self._runtime, self._seeding, self._inputs = runtime, seeding, inputs
        self.segments = len(segments)
        index = {node: i for i, nodes in enumerate(segments) for node in nodes}
        names: list[set[str]] = [set() for _ in segments]
        for name in values:
            names[index.get(places[name], 0)].add(name)
        self._values, self._home = values, {n: i for i, each in enumerate(names) for n in each}
        shown = [sorted({v for name in each for v in values[name]}) for each in names]
        sizes: list[list[str]] = [[] for _ in segments]
        made = {value.name: value.producer() for value in observed.graph.outputs}
        for each in inputs.values():
            shape = made[each.size]
            y = None if shape is None else shape.inputs[0]
            home = None if y is None else y.producer()
            sizes[-1 if home is None else index.get(home, -1)].append(each.size)
        self._models = (
            SegmentModels(observed, segments, sizes, shown, cotangents)
            if inputs
            else SegmentModels(observed, segments, shown)
        )
        self.spool = 0.0

    @property
    def largest(self) -> int:
        """Bytes of the weights of a segment, at most."""
        models = (*self._models.forward, *self._models.backward)
        graphs = [each.model.graph for each in models if each.model is not None]
        tensors = [[v.const_value for v in each.initializers.values()] for each in graphs]
        return max(sum(t.nbytes for t in each if t is not None) for each in tensors)

    def taken(self, sample: Batch) -> float:
        """The bytes that a run takes for each byte that is fed; a sample is run to see that.

        Raises:
            NotSegmentedError: Something crosses that is no tensor of numbers.
        """
        run = SegmentedRun(self._models, self._runtime, [sample], measured=True)
        for _ in self._seen(run, [sample], 1, _Shown(self._home, self._values, ()), _Told()):
            pass
        fed = fed_bytes(sample.feeds)
        self.spool = 1 + run.most_spooled / fed
        return run.most_taken / fed

    def check_room(self, fed: int, draws: int) -> None:
        """Finds out whether there is room for what will be kept of so many bytes that are fed.

        Raises:
            InputError: There is not.
        """
        wanted = self.spool * fed * draws
        free = disk_usage(tempfile.gettempdir()).free
        if wanted > free:
            raise InputError(
                f"Calibration block by block keeps about {wanted / 1e9:.1f} GB in "
                f"{tempfile.gettempdir()}, which has {free / 1e9:.1f} GB left: set TMPDIR to a "
                "folder with more room, or take fewer --samples."
            )

    def observe(
        self,
        batches: Sequence[Batch],
        draws: int,
        advance: Callable[[int], None],
        between: Callable[[], None],
        together: Sequence[Collection[str]] = (),
    ) -> Iterator[Seen]:
        """Yields what each segment shows, segment after segment, the last first.

        Args:
            batches: The batches.
            draws: Labels to draw for each sample.
            advance: Called with numbers of samples that sum up to those of the batches.
            between: Called when a segment is done.
            together: Targets that are shown at the same time, where there are gradients: what the
                first of them showed is kept until the last has run.
        """
        self.check_room(sum(fed_bytes(batch.feeds) for batch in batches), draws)
        run = SegmentedRun(self._models, self._runtime, batches, draws)
        shown = _Shown(self._home, self._values, together)
        yield from self._seen(run, batches, draws, shown, _Told(advance, between))

    def _seen(
        self,
        run: SegmentedRun,
        batches: Sequence[Batch],
        draws: int,
        shown: _Shown,
        told: _Told,
    ) -> Iterator[Seen]:
        """Goes forward and, for gradients, backward."""
        backward = _BACKWARD * draws if self._inputs else 0
        told.steps = self.segments * (1 + backward)
        shapes: list[_Shapes] = [{} for _ in batches]
        for step in run.forward():
            shapes[step.batch] |= self._sizes(step.values)
            if not self._inputs:
                yield from shown.of(step)
            told.done(batches[step.batch].samples, last=step.last)

        def feeding(batch: int, draw: int, read: Sequence[str]) -> Mapping[str, AnyArray]:
            return self._seeds(batches[batch], shapes[batch], draw, read)

        for step in run.backward(feeding):
            yield from shown.of(step)
            told.done(_BACKWARD * batches[step.batch].samples, last=step.last)

    def _sizes(self, values: Mapping[str, AnyArray]) -> _Shapes:
        """The shapes of the outputs that a segment computed."""
        return {
            name: tuple(int(length) for length in values[inputs.size])
            for name, inputs in self._inputs.items()
            if inputs.size in values
        }

    def _seeds(
        self, batch: Batch, shapes: _Shapes, draw: int, read: Sequence[str]
    ) -> Mapping[str, AnyArray]:
        """The numbers that a segment reads."""
        wanted = {
            name: shapes[name]
            for name, each in self._inputs.items()
            if not {each.numbers, each.weight, each.shift}.isdisjoint(read)
        }
        return self._seeding.fed(batch, wanted, draw) if wanted else {}


class _Shown:
    """Shows targets where the last of those runs that they are shown with, going backward."""

    def __init__(
        self,
        home: Mapping[str, int],
        values: Mapping[str, Sequence[str]],
        together: Sequence[Collection[str]],
    ) -> None:
        """Settles where each target is shown.

        Args:
            home: Target name to its segment.
            values: Target name to the names of what shows it.
            together: Targets that are shown at the same time.
        """
        self._values = values
        at, grown = dict(home), True
        while grown:  # a target may be in several groups
            grown = False
            for names in together:
                known = [name for name in names if name in at]
                first = min((at[name] for name in known), default=0)
                grown |= any(at[name] != first for name in known)
                at |= dict.fromkeys(known, first)
        self._names: dict[int, frozenset[str]] = {
            index: frozenset(name for name in at if at[name] == index) for index in at.values()
        }
        self._later: dict[int, set[str]] = {}
        for name, index in home.items():
            if at[name] != index:
                self._later.setdefault(index, set()).update(values[name])
        self._held: dict[tuple[int, int], Arrays] = {}

    def of(self, step: SegmentRun) -> Iterator[Seen]:
        """Yields what a step shows, if it shows anything now."""
        place = step.batch, step.draw
        held = self._held.setdefault(place, {})
        names = self._names.get(step.segment)
        if names:
            yield *place, held | step.values, names
            for value in {value for name in names for value in self._values[name]}:
                held.pop(value, None)
        for value in self._later.get(step.segment, ()):
            held[value] = keep(step.values[value])


class _Told:
    """Tells of samples, of which each takes several steps, and of segments.

    Attributes:
        steps: How many steps.
    """

    def __init__(
        self,
        advance: Callable[[int], None] = lambda _: None,
        between: Callable[[], None] = lambda: None,
    ) -> None:
        """Takes whom to tell."""
        self._advance, self._between = advance, between
        self.steps = 1
        self._work = self._told = 0

    def done(self, steps: int, *, last: bool) -> None:
        """Counts steps; the last one of a segment is told."""
        self._work += steps
        self._advance(self._work // self.steps - self._told)
        self._told = self._work // self.steps
        if last:
            self._between()
