"""A model that runs from where it has come to, and not from the beginning each time."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from ..arrays import Arrays
from ..calibration import Batch
from ..errors import InputError
from ..options import Memory
from ..passes import DRAWS, BeginAt, end_before
from ..runtime.paging import keep
from ..runtime.session import Runtime

__all__ = ["IncrementalRun"]


class IncrementalRun:
    """The rest of a model after a place, and what reaches it there of some batches.

    Changes to the model before the next place are taken into account; what was passed is final.

    Attributes:
        model: What comes from the place on.
        batches: Feeds for that.
    """

    def __init__(
        self,
        model: ir.Model,
        batches: Sequence[Batch],
        runtime: Runtime,
        most: float = Memory().crossing,
    ) -> None:
        """Begins at the beginning.

        Args:
            model: The model. It is changed.
            batches: What to run it on.
            runtime: How to run it.
            most: Bytes that are kept of all batches at one place, at most.
        """
        self._most = most
        self.model, self.batches = model, list(batches)
        self._runtime = runtime
        self._crossing: dict[str, ir.TypeAndShape] = {}

    def reach(self, value: str) -> None:
        """Goes on to the node that computes a value, or within which it is computed.

        It stays where it is if that was passed, or if more crosses there than can be kept.
        """
        before = end_before(self.model, value)
        if before is None:
            return
        crossing = before.graph.outputs
        try:
            found = self._computed(before, [each.name or "" for each in crossing])
        except InputError:
            # numpy has no such type; where the model is at fault, it fails as a whole
            return
        if found is None:
            return
        for each in crossing:
            name = each.name or ""
            self._crossing[name] = _described(each, [arrays[name] for arrays in found])
        BeginAt(value, self._crossing)(self.model)
        read = {DRAWS, *(each.name for each in self.model.graph.inputs)}
        self.batches = [
            dataclasses.replace(
                batch, feeds={n: a for n, a in (batch.feeds | arrays).items() if n in read}
            )
            for batch, arrays in zip(self.batches, found, strict=True)
        ]

    def _computed(self, model: ir.Model, names: Sequence[str]) -> list[Arrays] | None:
        """Outputs of a model for each batch, or None if they cannot be kept."""
        session = self._runtime.session(model, names)
        found: list[Arrays] = []
        size = 0
        for batch in self.batches:
            arrays = session.run(batch.feeds, batch.origin)
            if not all(_is_plain(array) for array in arrays.values()):
                return None
            size += sum(array.nbytes for array in arrays.values())
            if size * len(self.batches) > self._most * (len(found) + 1):
                return None
            found.append({name: keep(array) for name, array in arrays.items()})
        return found


def _is_plain(array: object) -> bool:
    """Tells tensors of one of numpy's own types from sequences and strings."""
    return isinstance(array, np.ndarray) and array.dtype.kind in "fiub"


def _described(value: ir.Value, arrays: Sequence[npt.NDArray[Any]]) -> ir.TypeAndShape:
    """The type of a value, and of its declared shape, which may be wrong, what is true."""
    kind = ir.TensorType(ir.DataType.from_numpy(arrays[0].dtype))
    if value.shape is None or {array.ndim for array in arrays} != {len(value.shape)}:
        return ir.TypeAndShape(kind, None)
    true = [
        size if {array.shape[axis] for array in arrays} == {size} else None
        for axis, size in enumerate(value.shape)
    ]
    return ir.TypeAndShape(kind, ir.Shape(true))
