"""The second moments of what products read: what 4 bits are fitted to."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from ..arrays import Array, NamedArrays
from ..calibration import Batch, CalibrationData
from ..passes import KeepOutputs, with_outputs
from ..runtime.footprint import UNKNOWN, fed_bytes
from ..runtime.session import Runtime
from ..statistics.im2col import linear_rows
from ..statistics.moments import Moments

__all__ = ["OperandMoments"]


@dataclasses.dataclass(frozen=True)
class OperandMoments:
    """Gathers the second moments of values of a model.

    Attributes:
        data: The calibration data.
        only: Which calibration samples to gather from, shape (samples,).
        runtime: How to run the model.
    """

    data: CalibrationData
    only: npt.NDArray[np.bool_]
    runtime: Runtime

    @property
    def room(self) -> float:
        """Bytes that moments of one run over the data may take."""
        return self.data.memory.operators

    def gather(self, model: ir.Model, widths: Mapping[str, int]) -> dict[str, Array]:
        """Sums of the products of rows, by the names of values.

        Args:
            model: The model; it is not changed.
            widths: Value to the length of its rows, K.

        Returns:
            Shapes (K, K), of the values that the main graph has, that ran, and that are finite.
        """
        given = {value.name for value in model.graph.inputs}
        computed = {value.name for node in model.graph for value in node.outputs}
        names = [name for name in widths if name in computed]
        moments = {n: Moments.empty(1, widths[n]) for n in widths if n in given | computed}
        observed = with_outputs(model, names).clone()
        KeepOutputs(names)(observed)
        session = self.runtime.session(observed, names) if names else None

        def values(batch: Batch) -> NamedArrays:
            shown = {} if session is None else session.run(batch.feeds, batch.origin)
            return {**batch.feeds, **shown}

        sample = self.data.typical("calibration")
        shown = sum(value.nbytes for value in values(sample).values()) / fed_bytes(sample.feeds)
        taken = (self.data.footprint or UNKNOWN).observing(shown, gradients=False)
        for batch in self.data.micro_batches("calibration", self.only, taken):
            seen = values(batch)
            for name, moment in moments.items():
                if seen[name].shape[-1:] == (widths[name],):
                    moment.add(linear_rows(seen[name], mask=batch.mask))
            del seen  # before the next batch runs
        found = {name: each.count * each.second_moment[0] for name, each in moments.items()}
        return {name: each for name, each in found.items() if np.isfinite(each).all()}
