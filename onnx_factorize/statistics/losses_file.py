"""Cross-validated losses in a file beside the statistics that they are of."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
from typing import Any

from ..arrays import Array
from ..errors import InputError
from ..files.array_file import read_arrays, write_arrays
from .cross_validated import CrossValidated
from .part import Fingerprint, Shared

__all__ = ["keep_losses", "kept_losses", "losses_beside"]

_WHAT, _VERSION = "losses", 1


def losses_beside(statistics: str | os.PathLike[str]) -> pathlib.Path:
    """The file of the losses: `all.losses.npz` beside `all.npz`."""
    path = pathlib.Path(statistics)
    return path.with_name(f"{path.stem}.losses.npz")


def keep_losses(statistics: str | os.PathLike[str], shared: Shared, found: CrossValidated) -> None:
    """Writes losses beside statistics; where that cannot be, later runs find them again."""
    arrays: dict[str, Array] = {}
    said: dict[str, Any] = {
        "what": _WHAT,
        "version": _VERSION,
        "fingerprint": dataclasses.asdict(shared.fingerprint),
        "draws": shared.draws,
        "metrics": found.metrics,
        "folds": found.folds,
        "targets": sorted(found.targets),
        "shrinkages": dict(found.shrinkages),
        "losses": {},
        "channels": {},
        "lost": sorted(found.lost),
        "unreachable": dict(found.unreachable),
        "not_finite": dict(found.not_finite),
    }
    for name, losses in found.losses.items():
        said["losses"][name] = key = f"target{len(arrays)}"
        arrays[key] = losses
    for name, (samples, total) in found.channels.items():
        key = f"channels{len(arrays)}"
        said["channels"][name] = [samples, key]
        arrays[key] = total
    with contextlib.suppress(InputError):
        write_arrays(losses_beside(statistics), said, arrays)


def kept_losses(statistics: str | os.PathLike[str], shared: Shared) -> CrossValidated | None:
    """The losses beside statistics; None where there are none, or they are of something else."""
    path = losses_beside(statistics)
    if not path.is_file():
        return None
    try:
        said, arrays = read_arrays(path, _WHAT)
    except InputError:
        return None
    if said.get("what") != _WHAT or said.get("version") != _VERSION:
        return None
    of = Fingerprint(**said["fingerprint"])
    if of.differs(shared.fingerprint) is not None or said["draws"] != shared.draws:
        return None
    return CrossValidated(
        said["metrics"],
        said["folds"],
        said["targets"],
        said["shrinkages"],
        {name: arrays[key] for name, key in said["losses"].items()},
        {name: (samples, arrays[key]) for name, (samples, key) in said["channels"].items()},
        said["lost"],
        said["unreachable"],
        said["not_finite"],
    )
