"""Where statistics come from: runs of the data, or a file that parts of a calibration made."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from typing import Protocol

from ..errors import InputError
from ..factorization.weighting import Weighting
from ..statistics.calibration_run import CalibrationRun, Gathered
from ..statistics.cross_validated import CrossValidated
from ..statistics.part import Part

__all__ = ["HERE", "Gathering", "Known"]


class Gathering(Protocol):
    """Gathers statistics, or has them."""

    @property
    def channels(self) -> Collection[str] | None:
        """Names of the channels to observe; None for those that the effort pays for."""

    @property
    def notes(self) -> Sequence[str]:
        """What the user should know of it, one sentence each."""

    def of(
        self, run: CalibrationRun, weighting: Weighting, channels: Collection[str] = ()
    ) -> Gathered:
        """The statistics that a weighting needs of a run, of which these are the channels."""


@dataclasses.dataclass(frozen=True)
class _Here:
    """Runs the data."""

    channels: Collection[str] | None = None
    notes: Sequence[str] = ()

    def of(
        self,
        run: CalibrationRun,
        weighting: Weighting,
        channels: Collection[str] = (),  # noqa: ARG002 - the run knows them
    ) -> Gathered:
        return weighting.gather(run)


HERE: Gathering = _Here()


@dataclasses.dataclass(frozen=True)
class Known:
    """Takes what was gathered before.

    Attributes:
        part: All samples together.
        name: What they are from, for messages.
        notes: What the user should know of them.
        cross_validated: The losses that they were found to give before; None for none.
    """

    part: Part
    name: str
    notes: Sequence[str] = ()
    cross_validated: CrossValidated | None = None

    @property
    def channels(self) -> Collection[str] | None:
        """Those that were observed."""
        return self.part.shared.channels

    def of(
        self,
        run: CalibrationRun,
        weighting: Weighting,
        channels: Collection[str] = (),  # noqa: ARG002 - those that were observed
    ) -> Gathered:
        """What of it belongs to a run.

        Raises:
            InputError: It is not of all samples, or not of all targets.
        """
        found = self.part.gathered
        if found is None or len(self.part.numbers) < self.part.count:
            raise InputError(
                f"{self.name} holds {len(self.part.numbers)} of {self.part.count} parts of the "
                "statistics: merge all parts first."
            )
        names = list(dict.fromkeys(use.name for target in run.targets for use in target.uses))
        missing = [name for name in names if found.parts[0] and name not in found.parts[0]]
        if missing:
            raise InputError(
                f"{self.name} holds no statistics of '{missing[0]}': calibrate with the same "
                "--form, --include, --exclude and --op-type."
            )
        parts = [part.only(names) if part else part for part in found.parts]
        readers = {} if run.companion is None else {each.name for each in run.companion.readers}
        inputs = [{n: m for n, m in own.items() if n in readers} for own in found.inputs]
        observer = weighting.observer(run)
        unreachable = {n: why for n, why in found.unreachable.items() if n in names}
        not_finite = {n: where for n, where in found.not_finite.items() if n in names}
        if observer is not None:
            lost = [name for name in names if parts[0][name].gradient is None]
            observer.learn(lost, unreachable, not_finite)
            unreachable, not_finite = observer.unreachable, observer.not_finite
        return Gathered(parts, observer, unreachable, not_finite, inputs, self.cross_validated)
