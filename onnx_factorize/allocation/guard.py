"""Find cuts after which a model gives no numbers where the dense one does.

A filter bank before a logarithm is one: its factors let a little below zero through. No prediction
sees that, for it is of second order, and no budget is worth it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from ..calibration import Batch, CalibrationData
from ..runtime.session import Runtime

__all__ = ["Guard"]

Finite = dict[str, npt.NDArray[np.bool_]]

# Calibration samples that every plan is run on.
_SAMPLES = 32


class Guard:
    """Runs cut models on some samples, to see whether all numbers are finite that were."""

    def __init__(
        self, dense: ir.Model, outputs: Collection[str], data: CalibrationData, runtime: Runtime
    ) -> None:
        """Takes what to run.

        Args:
            dense: The dense model; it is not changed.
            outputs: The outputs that count.
            data: The calibration data.
            runtime: How to run the models.
        """
        self._dense, self._outputs = dense, list(outputs)
        self._data, self._runtime = data, runtime
        self._expected: list[tuple[Batch, Finite]] = []
        self._with_holdout = False

    def include_holdout(self) -> bool:
        """Looks at held-out samples too from now on; returns whether it did not do so before."""
        if self._with_holdout or self._data.shares_holdout:
            return False
        self._samples()
        self._with_holdout = True
        self._expected += self._finite(list(self._data.micro_batches("holdout")))
        return True

    def complaint(self, model: ir.Model) -> str | None:
        """An output that is not finite, to complete "a cut of it makes …"; None if all are."""
        session = self._runtime.session(model, self._outputs)
        for batch, finite in self._samples():
            found = session.run(batch.feeds, batch.origin)
            for name, expected in finite.items():
                value = found[name]
                if value.shape == expected.shape and not np.isfinite(value[expected]).all():
                    return f"output '{name}' not finite on {batch.origin}"
        return None

    def culprit(
        self, names: Sequence[str], make: Callable[[Sequence[str]], ir.Model]
    ) -> tuple[str, str] | None:
        """The operator of which the cut breaks a model, and how.

        Args:
            names: The operators that are cut.
            make: From some of them to the model in which only these are cut.

        Returns:
            The last of the fewest first operators that break it; None if all together do not.
        """
        complaint = self.complaint(make(names))
        if complaint is None:
            return None
        fine, broken = 0, len(names)
        while broken - fine > 1:
            middle = (fine + broken) // 2
            found = self.complaint(make(names[:middle]))
            if found is None:
                fine = middle
            else:
                broken, complaint = middle, found
        return names[broken - 1], complaint

    def _samples(self) -> list[tuple[Batch, Finite]]:
        """Batches, and which of the dense model's numbers are finite there."""
        if not self._expected:
            only = self._data.some(_SAMPLES)
            self._expected = self._finite(list(self._data.micro_batches("calibration", only)))
        return self._expected

    def _finite(self, batches: Sequence[Batch]) -> list[tuple[Batch, Finite]]:
        session = self._runtime.session(self._dense, self._outputs)
        found = []
        for batch in batches:
            values = session.run(batch.feeds, batch.origin).items()
            found.append((batch, {name: np.isfinite(value) for name, value in values}))
        return found
