"""Kinds of outputs by the graph alone, or by the user, before the data are asked."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from typing import get_args

import onnx_ir as ir

from ..errors import InputError
from ..passes import Kind, OutputKind
from .selection import BY_USER, recognized

__all__ = ["counted", "output_kinds", "recognized"]


def output_kinds(model: ir.Model, overrides: Mapping[str, Kind]) -> dict[str, OutputKind]:
    """The kind of each output: recognised from the graph, unless overridden.

    Args:
        model: The model.
        overrides: Kinds by the name of an output, or by a pattern (`boxes_*`); of several that
            fit, the last counts.

    Raises:
        InputError: An override fits no output or names no kind, or no output counts.
    """
    kinds = recognized(model)
    told: dict[str, Kind] = {}
    for pattern, kind in overrides.items():
        named = [pattern] if pattern in kinds else fnmatch.filter(kinds, pattern)
        if not named:
            raise InputError(
                f"--outputs names '{pattern}', but the model's outputs are {', '.join(kinds)}."
            )
        if kind not in get_args(Kind):
            raise InputError(f"'{kind}' is no kind of output; use {', '.join(get_args(Kind))}.")
        told |= dict.fromkeys(named, kind)
    ignored = [name for name, kind in told.items() if kind == "ignore"]
    # What stands only for outputs that are ignored is too, unless the user names it.
    wanted = recognized(model, ignored).keys() | told.keys()
    kinds = {name: kind for name, kind in kinds.items() if name in wanted}
    kinds |= {name: _overruled(kinds[name], kind) for name, kind in told.items()}
    if not counted(kinds):
        raise InputError(
            f"All outputs ({', '.join(kinds)}) are ignored, so that nothing could be verified; "
            "give one with real numbers another kind by --outputs NAME=KIND."
        )
    return kinds


def counted(kinds: Mapping[str, OutputKind]) -> dict[str, OutputKind]:
    """The outputs that are not ignored."""
    return {name: kind for name, kind in kinds.items() if kind.kind != "ignore"}


def _overruled(found: OutputKind, kind: Kind) -> OutputKind:
    if kind == "ignore":
        return OutputKind(kind, because=BY_USER)
    if found.kind == kind:
        return OutputKind(kind, found.axis, found.scale, BY_USER)
    # A categorical output that is not recognised as probabilities holds logits.
    return OutputKind(kind, -1, "logit", BY_USER)
