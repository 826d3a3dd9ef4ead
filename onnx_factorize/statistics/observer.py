"""A model that shows what its targets compute, and the gradients there, as rows."""

from __future__ import annotations

import functools
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Literal

import numpy as np
import onnx_ir as ir

from ..calibration import Batch, CalibrationData
from ..outputs import OutputDistribution
from ..outputs.shapes import OutputShapes
from ..passes import FixDraws, KeepOutputs, Observe, SeparateUnfoldings, Side, Target
from ..runtime.footprint import UNKNOWN, fed_bytes
from ..runtime.session import Runtime, Session
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
        """
        observed = model.clone()
        FixDraws()(observed)
        uses = [use for target in targets for use in target.uses]
        names = [use.name for use in uses]
        separate = SeparateUnfoldings({target.name for target in targets if not target.is_own})
        separate(observed)
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
            made = TargetGradients.appended(observed, targets, outputs, separate, sampling.labels)
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
        self._load = functools.partial(runtime.session, observed, kept)
        self._loaded: Session | None = self._load()
        self._seeding = Seeding(
            observed, made.inputs, outputs or {}, model, runtime, shapes, self.seed
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

    def taken(self, data: CalibrationData) -> float:
        """The bytes that a run takes for each byte that is fed; a sample is run to see that."""
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

    def at_inputs(self, seen: Observation) -> Observation:
        """What a run showed at the inputs that are observed besides, with gradients of y."""
        return seen.by(self._inputs)

    def side(self, target: Target) -> Literal["input", "output"]:
        """The side on which the signal of a target is observed."""
        return target.side if self._side == "narrow" else self._side
