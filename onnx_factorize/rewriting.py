"""Put factors into a copy of the graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx_ir as ir

from .calibrate import Statistics
from .model_io import weight_bytes
from .paging import LARGE, spill
from .passes import RewriteTargets, Target
from .spectrum import Spectrum
from .weighting import factors_of

__all__ = ["rewritten"]


def rewritten(
    model: ir.Model,
    targets: Sequence[Target],
    ranks: Mapping[str, int],
    spectra: Mapping[str, Spectrum],
    statistics: Mapping[str, Statistics],
) -> ir.Model:
    """A copy of a model in which targets have the given ranks.

    Args:
        model: The user's model, or the normalised one; it is not changed.
        targets: Its targets.
        ranks: Target name to rank; targets without an entry, or with rank 0, stay dense.
        spectra: Target name to spectrum.
        statistics: Target name to what calibration found, for the correction of biases.
    """
    chosen = {target.name: target for target in targets if ranks.get(target.name)}
    compressed = model.clone()
    # A large model is rewritten operator by operator, so that the factors of one are in memory.
    large = weight_bytes(model) > LARGE
    for names in [[name] for name in chosen] if large else [list(chosen)]:
        factors = {
            name: factors_of(chosen[name], spectra[name], statistics.get(name), ranks[name])
            for name in names
        }
        for name in names:
            for sibling in chosen[name].siblings:
                own = factors[name]
                factors[sibling.name] = own.flipped if sibling.flipped else own
        RewriteTargets(factors)(compressed)
        if large:
            spill(compressed)
    return compressed
