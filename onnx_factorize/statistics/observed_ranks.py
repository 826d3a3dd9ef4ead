"""Ranks that the graph does not tell, from runs of the data: without them there is no gradient."""

from __future__ import annotations

import itertools

import onnx_ir as ir

from ..calibration import CalibrationData
from ..passes import ObserveRanks, note
from ..runtime.session import Runtime

__all__ = ["note_ranks"]

# Batches that must agree.
_BATCHES = 4


def note_ranks(model: ir.Model, data: CalibrationData, runtime: Runtime) -> None:
    """Notes on the values of a model the ranks that inference does not find.

    A value whose rank differs between batches, or that never ran, is left unknown.

    Args:
        model: The normalised model.
        data: The calibration data, of which a few batches are run.
        runtime: How to run the model.
    """
    probe = model.clone()
    observe = ObserveRanks()
    if not observe(probe).modified:
        return
    wanted = sorted({*observe.ranks.values(), *observe.types.values()})
    session = runtime.session(probe, wanted)
    ranks: dict[str, set[int]] = {}
    types: dict[str, ir.DataType] = {}
    for batch in itertools.islice(data.micro_batches("calibration"), _BATCHES):
        seen = session.run(batch.feeds, batch.origin)
        for name, output in observe.ranks.items():
            ranks.setdefault(name, set()).update(int(rank) for rank in seen[output])
        for name, output in observe.types.items():
            types[name] = ir.DataType.from_numpy(seen[output].dtype)
    note(model, {name: found.pop() for name, found in ranks.items() if len(found) == 1}, types)
