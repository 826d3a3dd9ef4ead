"""The page of one run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ...notes import CHANGED, notes_of, stream_said
from ...units import nats
from .bars import everywhere, grouped_by_reason
from .charts import cut_chart
from .dot_plot import Dot, dot_plot
from .environment import rendered
from .paths import without_folders
from .reproduce import command_of, toml_of
from .stat_cards import stat_cards, verdict
from .svg import drawing

__all__ = ["report_page"]

# Layers that are shown at once, as bars and as charts; the smaller ones are folded.
_SHOWN = 16
_DRAWN = 12

_MEASURED = {
    "second_order": ("Sum of the layers' predicted losses", "second order, each layer alone"),
    "predicted": ("Predicted", "the plan on calibration samples unseen by its directions"),
    "calibration": ("Measured on calibration samples", "seen: expect less than on new ones"),
    "holdout": ("Measured on held-out samples", "never calibrated on: the figure that counts"),
}


def report_page(report: Mapping[str, Any]) -> str:
    """One self-contained HTML file from the data of a report.

    Args:
        report: What `Report.as_dict` gives, or what was read from its JSON.
    """
    report = without_folders(report)
    layers = report["layers"]
    factorized = [layer for layer in layers if layer["status"] in CHANGED]
    dense = [layer for layer in layers if layer["status"] == "kept"]
    bars = everywhere(report)
    large = {id(bar) for bar in sorted(bars, key=lambda bar: -bar.weight)[:_SHOWN]}
    with drawing():
        cuts = [(layer, cut_chart(layer, k)) for k, layer in enumerate(_drawable(factorized))]
        others = [
            (layer, cut_chart(layer, len(cuts) + k)) for k, layer in enumerate(_drawable(dense))
        ]
    return rendered(
        "report.html.j2",
        report=report,
        name=report["model"]["dense"].get("file") or "A model",
        verdict=verdict(report),
        stat_cards=stat_cards(report),
        bars=[bar for bar in bars if id(bar) in large],
        small_bars=[bar for bar in bars if id(bar) not in large],
        cuts=cuts[:_DRAWN],
        more_cuts=cuts[_DRAWN:],
        kept_curves=others,
        loss_unit="nats" if report["divergence"]["predicted"] is not None else "relative",
        unit="nats" if report["divergence"]["predicted"] is not None else "share of the energy",
        measured=_measured(report),
        config=toml_of(report["config"]) if report.get("config") else None,
        notes=_notes(report),
        tried=_tried(report["divergence"]),
        left=grouped_by_reason(layer for layer in layers if layer["status"] not in CHANGED),
        command=command_of(report),
        data=json.dumps(report).replace("<", "\\u003c"),
    )


def _notes(report: Mapping[str, Any]) -> list[str]:
    """Notes on the data and the model; a report of before says less."""
    random = report.get("random")
    stream = stream_said(report.get("stream"), report["divergence"]["holdout"])
    nodes = None if random is None else random["nodes"]
    selection, caches = report.get("selection"), report.get("caches")
    return notes_of(report.get("data") or {}, selection, caches, stream, nodes)


def _drawable(layers: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Those with a curve, the largest first."""
    found = [layer for layer in layers if layer.get("curve")]
    return sorted(found, key=lambda layer: -layer["params"][0])


def _measured(report: Mapping[str, Any]) -> Sequence[Dot]:
    divergence = report["divergence"]
    rows = [
        (
            label,
            divergence[key],
            _with_error(note, error),
            key == "holdout",
        )
        for key, (label, note) in _MEASURED.items()
        for error in [divergence.get(f"{key}_error")]
        if divergence.get(key) is not None
    ]
    quantization = report.get("quantization")
    if quantization:
        label = f"Measured before {quantization['bits']}, held out"
        rows.insert(-1, (label, quantization["divergence"], "what the factors alone lose", False))
    return dot_plot(rows)


def _with_error(note: str, error: float | None) -> str:
    """A note, with the standard error of the figure where that is known."""
    return note if error is None else f"{note}; ± {nats(error)}"


def _tried(divergence: Mapping[str, Any]) -> Sequence[Dot]:
    chosen = divergence["plan"]
    return dot_plot(
        (plan, value, "taken" if plan == chosen else "", plan == chosen)
        for plan, value in sorted(
            divergence["tried"].items(),
            key=lambda item: (item[1] is None, item[1] if item[1] is not None else 0.0),
        )
    )
