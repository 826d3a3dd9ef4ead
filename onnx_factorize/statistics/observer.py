"""A model that shows what its targets compute, and the gradients there, as rows."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Literal

import numpy as np
import onnx_ir as ir

from ..calibration import Batch, CalibrationData
from ..outputs import OutputDistribution
from ..outputs.shapes import OutputShapes
from ..passes import FixDraws, KeepOutputs, Observe, SeparateUnfoldings, Side, Target
from ..passes.segments import NotSegmentedError, partition
from ..runtime.footprint import UNKNOWN, fed_bytes
from ..runtime.session import Runtime, Session
from .by_segment import BySegment
from .observation import AtInputs, Observation
from .sampling import DRAWN, Sampling
from .seeding import Seeding
from .target_gradients import TargetGradients

__all__ = ["Observer"]


class Observer:
    """Runs a model with taps at its targets.

    Attributes:
        unreachable: Target name to the reason why its gradient is not to be had; empty where no
            gradients are wanted. Those that are found not to be finite join them.
        not_finite: Target name to where what it reads, or computes, is not finite in the model.
        segmented: What observes it segment by segment; None where the whole graph runs at once.
        whole: Why it does, though segments were asked for.
    """

    def __init__(
        self,
        model: ir.Model,
        targets: Sequence[Target],
        runtime: Runtime,
        outputs: Mapping[str, OutputDistribution] | None = None,
        sampling: Sampling = DRAWN,
        *,
        side: Side = "narrow",
        shapes: OutputShapes | None = None,
        inputs: Sequence[Target] = (),
        segment: float | None = None,
    ) -> None:
        """Builds the session.

        Args:
            model: The normalised model; it is not changed.
            targets: The targets to observe.
            runtime: How to run the model.
            outputs: Output name to the distribution that the gradient is seeded by; None for no
                gradients.
            sampling: The labels of gradients, and the places that are looked at.
            side: Where signals are observed. Unless that is the narrow side, gradients are those
                of y.
            shapes: What is known of the shapes of outputs.
            inputs: Targets whose inputs are observed besides (see `at_inputs`).
            segment: Bytes of weights that a segment may have, so that `observe` goes segment by
                segment; None for the whole graph at once.
        """
        observed = model.clone()
        FixDraws()(observed)
        uses = [use for target in targets for use in target.uses]
        names = [use.name for use in uses]
        separate = SeparateUnfoldings({target.name for target in targets if not target.is_own})
        separate(observed)
        segments: Sequence[Sequence[ir.Node]] = ()
        self.whole: str | None = None
        try:
            segments = () if segment is None else partition(observed, segment)
        except NotSegmentedError as reason:
            self.whole = str(reason)
        observe = Observe(
            names,
            side,
            points=separate.points,
            replaced=separate.inputs,
            inputs=[target.name for target in inputs],
        )
        observe(observed)
        self.taps = observe.taps
        self.not_finite: dict[str, str] = {}
        self._leaders = {use.name: target for target in targets for use in target.uses}
        self._side = side
        self.seed = sampling.seed
        if outputs is not None:
            made = TargetGradients.appended(
                observed, targets, outputs, separate, sampling.labels, segments
            )
        else:
            made = TargetGradients()
        self._gradients, self.gradients, self.unreachable = made, made.values, made.unreachable
        # A target that is observed where it is narrower, at its input, needs W g in place of g.
        self.back = {
            target.name: target.matrices().astype(np.float32).transpose(0, 2, 1)
            for target in uses
            if target.side == "input" and target.name in self.gradients and side == "narrow"
            # In a further unfolding the gradient is observed where the signal is.
            if target.is_own
        }
        sizes = [each.size for each in made.inputs.values()]
        self._inputs = AtInputs(self, observe.inputs)
        kept = sorted(
            {*self.taps.values(), *observe.inputs.values(), *made.values.values(), *sizes}
        )
        KeepOutputs(kept)(observed)
        self._taken: float | None = None
        self._taken_by_segment: float | None = None
        self._load = functools.partial(runtime.session, observed, kept)
        self._loaded: Session | None = None if segments else self._load()
        self._seeding = Seeding(
            observed, made.inputs, outputs or {}, model, runtime, shapes, self.seed
        )
        self.segmented: BySegment | None = None
        if segments:
            named = (self.taps, observe.inputs, made.values)
            shown = {n: [each[n] for each in named if n in each] for n in observe.places}
            self.segmented = BySegment(
                observed,
                segments,
                observe.places,
                {name: values for name, values in shown.items() if values},
                made.inputs,
                made.passed_on,
                self._seeding,
                runtime,
            )

    @property
    def _session(self) -> Session:
        if self._loaded is None:
            self._loaded = self._load()
        return self._loaded

    def release(self) -> None:
        """Lets go of what the runtime holds; it is loaded again if anything is run."""
        self._loaded = None
        self._seeding.release()

    def signal_of(self, target: Target) -> Hashable:
        """A key that tells signals apart: targets of one signal observe the same rows."""
        if target.side != "input":
            return target.name
        tap = self.taps[target.name]
        return tap, target.convolution, target.groups, target.transposed_input

    def lose_gradient(self, target: Target, where: str) -> None:
        """Leaves out a gradient that is not finite, and those of all that share the weight."""
        self.unreachable.setdefault(target.name, f"its gradient is not finite on {where}")
        self._gradients.leave_incomplete(self._leaders[target.name])

    def learn(
        self, lost: Iterable[str], unreachable: Mapping[str, str], not_finite: Mapping[str, str]
    ) -> None:
        """Takes note of what was found elsewhere.

        Args:
            lost: Names of targets whose gradients are not used.
            unreachable: Target name to the reason why it has none.
            not_finite: Target name to where its signal is not finite.
        """
        self.not_finite |= not_finite
        self.unreachable.update(
            {n: why for n, why in unreachable.items() if n not in self.unreachable}
        )
        for name in lost:
            self.gradients.pop(name, None)

    def taken(self, data: CalibrationData, *, segmented: bool = False) -> float:
        """The bytes that a run takes for each byte that is fed; a sample is run to see that.

        Args:
            data: The calibration data.
            segmented: Whether it is run by `observe`.
        """
        if segmented and self.segmented is not None:
            if self._taken_by_segment is None:
                try:
                    self._taken_by_segment = self.segmented.taken(data.typical("calibration"))
                except NotSegmentedError as reason:
                    self.segmented, self.whole = None, str(reason)
                    return self.taken(data)
            return self._taken_by_segment
        if self._taken is None:
            sample = data.typical("calibration")
            found = self._seeding.run(self._session, sample)
            observed = sum(value.nbytes for value in found.values()) / fed_bytes(sample.feeds)
            known = data.footprint or UNKNOWN
            self._taken = known.observing(observed, gradients=bool(self.gradients))
        return self._taken

    def run(self, batch: Batch, draw: int = 0) -> Observation:
        """Runs one batch, with the labels of one of several draws."""
        return Observation(self, self._seeding.run(self._session, batch, draw), batch)

    def observe(
        self,
        batches: Sequence[Batch],
        draws: int = 1,
        advance: Callable[[int], None] = lambda _: None,
        between: Callable[[], None] = lambda: None,
        together: Sequence[Collection[str]] = (),
    ) -> Iterator[tuple[int, int, Observation]]:
        """Runs batches, each as often as labels are drawn, and shows every target once for each.

        Segment by segment, an observation is of some targets only.

        Args:
            batches: The batches.
            draws: Labels to draw for each sample, where there are gradients.
            advance: Called with numbers of samples that sum up to those of the batches.
            between: Called when targets were shown that no further observation is of.
            together: Names of targets that an observation is of all or none of.

        Yields:
            The place of a batch among them, the draw, and what it showed. Let go of that before
            the next one.
        """
        draws = draws if self.gradients else 1
        if self.segmented is not None:
            for index, draw, values, names in self.segmented.observe(
                batches, draws, advance, between, together
            ):
                yield index, draw, Observation(self, values, batches[index], names)
                del values
            return
        for index, batch in enumerate(batches):
            for draw in range(draws):
                yield index, draw, self.run(batch, draw)
            advance(batch.samples)

    def each(
        self,
        batches: Iterable[Batch],
        draws: int,
        advance: Callable[[int], None],
        *,
        together: Sequence[Collection[str]] = (),
    ) -> Iterator[tuple[Batch, Observation]]:
        """Yields batches, each with what it showed: see `observe`.

        Where the whole graph runs at once, batches are read one after the other.
        """
        rounds: Iterable[Sequence[Batch]] = ([batch] for batch in batches)
        if self.segmented is not None:
            rounds = [list(batches)]
        for own in rounds:
            for index, _, seen in self.observe(own, draws, advance, together=together):
                yield own[index], seen
                del seen

    def at_inputs(self, seen: Observation) -> Observation:
        """What a run showed at the inputs that are observed besides, with gradients of y."""
        return seen.by(self._inputs)

    def side(self, target: Target) -> Literal["input", "output"]:
        """The side on which the signal of a target is observed."""
        return target.side if self._side == "narrow" else self._side
