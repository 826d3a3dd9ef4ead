"""Bars of parameters and arithmetic before and after, layer by layer."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from ...notes import CHANGED

__all__ = ["Bar", "Reason", "everywhere", "grouped_by_reason"]

Pair = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Bar:
    """One operator.

    Attributes:
        name: The node's name.
        module: The path of the module that it was exported from; None where nobody says.
        kind: Its operator.
        note: What became of it.
        status: As in the report, or `rest`.
        params: Before and after.
        macs: Before and after; None where not counted.
        params_share: Before and after, in percent of the largest that is no `skipped` one.
        macs_share: Likewise.
        weight: How large it was: its share of the model's parameters plus that of the arithmetic.
    """

    name: str
    module: str | None
    kind: str
    note: str
    status: str
    params: Pair
    macs: Pair | None
    params_share: Pair
    macs_share: Pair | None
    weight: float


@dataclasses.dataclass(frozen=True)
class Reason:
    """Operators that were left alone for one reason.

    Attributes:
        reason: The reason.
        params: What they hold together.
        layers: The operators.
    """

    reason: str
    params: int
    layers: list[Mapping[str, Any]]


def everywhere(report: Mapping[str, Any]) -> list[Bar]:
    """A bar for every linear operator, in the report's order, and one for all that is none."""
    dense, compressed = report["model"]["dense"], report["model"]["compressed"]
    layers = report["layers"]
    rows = [
        (
            layer["name"],
            layer.get("module"),
            layer["op_type"],
            _note(layer),
            layer["status"],
            tuple(layer["params"]),
            None if layer["macs"] is None else tuple(layer["macs"]),
        )
        for layer in layers
    ]
    # A weight that several operators share is listed once in `params` of the model.
    rest = [
        max(0, figures["params"] - sum(layer["params"][index] for layer in layers))
        for index, figures in enumerate((dense, compressed))
    ]
    if rest[0] or rest[1]:
        what = "embedding tables, normalizations, biases, constants"
        rows.append(("everything else", None, what, "", "rest", (rest[0], rest[1]), None))
    # An embedding table would leave no room for the bars of all others.
    scale = [row for row in rows if row[4] in (*CHANGED, "kept")] or rows
    most = max((row[5][0] for row in scale), default=0) or 1
    busiest = max((row[6][0] for row in scale if row[6]), default=0) or 1
    total_params, total_macs = dense["params"] or 1, dense["macs"] or 1
    return [
        Bar(
            *row[:5],
            params := row[5],
            macs := row[6],
            (100 * params[0] / most, 100 * params[1] / most),
            None if macs is None else (100 * macs[0] / busiest, 100 * macs[1] / busiest),
            params[0] / total_params + (0 if macs is None else macs[0] / total_macs),
        )
        for row in rows
    ]


def _note(layer: Mapping[str, Any]) -> str:
    """A few words on a layer."""
    if layer["status"] == "kept":
        return f"kept dense, {layer['ms'][0]:.3g} ms alone" if layer.get("ms") else "kept dense"
    if layer["status"] not in CHANGED:
        return "not factorizable"
    parts = [layer["form"]]
    if layer["rank"] is not None:
        parts.insert(0, f"rank {layer['rank']} of {layer['full_rank']}")
    if layer.get("ms"):
        before, after = layer["ms"]
        parts.append(f"{before:.3g} → {after:.3g} ms alone")
    if layer["reason"]:
        parts.append(layer["reason"])
    return ", ".join(parts)


def grouped_by_reason(layers: Iterable[Mapping[str, Any]]) -> list[Reason]:
    """Groups the layers that were left alone, the reason that holds most parameters first."""
    groups: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for layer in layers:
        groups[layer["reason"] or layer["status"]].append(layer)
    found = [
        Reason(reason, sum(layer["params"][0] for layer in group), group)
        for reason, group in groups.items()
    ]
    return sorted(found, key=lambda each: -each.params)
