"""Put factors into a copy of the graph."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir

from ..files.model_io import weight_bytes
from ..passes import Factors, RewriteTargets, Target
from ..runtime.paging import LARGE, spill
from ..statistics.model_statistics import TargetStatistics
from .bias_correction import factors_of
from .spectrum import Spectrum

__all__ = ["factors_by_name", "rewritten"]


def rewritten(
    model: ir.Model,
    targets: Sequence[Target],
    ranks: Mapping[str, int],
    spectra: Mapping[str, Spectrum],
    statistics: Mapping[str, TargetStatistics],
) -> ir.Model:
    """A copy of a model in which targets have the given ranks.

    Args:
        model: The user's model, or the normalised one; it is not changed.
        targets: Its targets, and further views of them.
        ranks: View name to rank; views without an entry, or with rank 0, are not cut.
        spectra: View name to spectrum.
        statistics: View name to what calibration found, for the correction of biases.
    """
    compressed = model.clone()
    if weight_bytes(model) <= LARGE:
        RewriteTargets(factors_by_name(targets, ranks, spectra, statistics))(compressed)
        return compressed
    # A large model is rewritten operator by operator, so that the factors of one are in memory.
    chosen = _by_operator(targets, ranks)
    parts = (_factors(views, ranks, spectra, statistics) for views in chosen.values())
    RewriteTargets.in_parts(parts, list(chosen), spill)(compressed)
    return compressed


def factors_by_name(
    targets: Sequence[Target],
    ranks: Mapping[str, int],
    spectra: Mapping[str, Spectrum],
    statistics: Mapping[str, TargetStatistics],
) -> dict[str, Factors]:
    """The factors of targets, and of their siblings, as `RewriteTargets` takes them.

    The arguments are those of `rewritten`.
    """
    factors: dict[str, Factors] = {}
    for views in _by_operator(targets, ranks).values():
        factors |= _factors(views, ranks, spectra, statistics)
    return factors


def _by_operator(targets: Sequence[Target], ranks: Mapping[str, int]) -> dict[str, list[Target]]:
    """The views that are cut, by operator."""
    chosen: dict[str, list[Target]] = {}
    for target in targets:
        if ranks.get(target.name):
            chosen.setdefault(target.operator, []).append(target)
    return chosen


def _factors(
    views: Sequence[Target],
    ranks: Mapping[str, int],
    spectra: Mapping[str, Spectrum],
    statistics: Mapping[str, TargetStatistics],
) -> dict[str, Factors]:
    """The factors of one operator, of which one view is cut, or two; and those of its siblings."""
    view = views[0]
    name, rank = view.name, ranks[view.name]
    own = factors_of(view, spectra[name], statistics.get(name), rank)
    if len(views) > 1:
        inner = views[1]
        own = _tucker(own, spectra[name], spectra[inner.name], ranks[inner.name])
    factors = {name: dataclasses.replace(own, operator=view.operator)}
    for sibling in view.siblings:
        factors[sibling.name] = own.flipped if sibling.flipped else own
    return factors


def _tucker(own: Factors, outer: Spectrum, inner: Spectrum, rank: int) -> Factors:
    """Tucker-2: factors of the own view of a convolution, their input channels cut as well.

    Args:
        own: The first has shape (groups, channels * elements, rank of the output).
        outer: The spectrum that they are from.
        inner: That of the view of the input channels.
        rank: The rank there.
    """
    # Where x is observed it is kept as x @ dropᵀ @ liftᵀ: the second goes into the core.
    first = inner.drop[:, :rank].transpose(0, 2, 1)
    groups, channels, _ = first.shape
    kernels = own.first.reshape(groups, channels, -1, own.rank)
    core = np.einsum("gcr,gcko->grko", inner.lift[:, :, :rank], kernels, optimize=True)
    # As in `Spectrum.truncated`, both have the same norm, component by component.
    left = np.linalg.norm(first, axis=1)
    right = np.linalg.norm(core, axis=(2, 3))
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = np.sqrt(right / left)
    scale = np.where(np.isfinite(scale) & (scale > 0), scale, 1.0)
    inverse = None
    if outer.side == "output":
        kept = outer.drop[:, : own.rank]
        balance = np.linalg.norm(kept, axis=2) / np.linalg.norm(own.second, axis=2)
        inverse = outer.lift[:, :, : own.rank] * balance[:, None, :]
    return dataclasses.replace(
        own,
        first=first * scale[:, None, :],
        core=core / scale[:, :, None, None],
        inverse=inverse,
    )
