"""The page of several budgets: what is traded for what."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ...runtime.interleaved import NOISY
from ...uncertainty import share_interval
from .environment import rendered
from .pareto import Point, front_chart
from .paths import without_folders
from .reproduce import command_of
from .stat_cards import agreement_of, time_of
from .svg import drawing

__all__ = ["sweep_page"]

_COSTS = (
    ("bytes", "file size, MB", 1e-6),
    ("time", "latency, share of the dense model's", 1.0),
)


def sweep_page(
    reports: Sequence[Mapping[str, Any]],
    unmet: Sequence[str] = (),
    links: Sequence[str | None] | None = None,
) -> str:
    """One self-contained HTML file from the reports of a sweep.

    Args:
        reports: What `Report.as_plain` gives, for each budget that was met; at least one.
        unmet: Why the others were not, one sentence each.
        links: Where the page of each report is, relative to this one; None where there is none.
    """
    reports = [without_folders(report) for report in reports]
    dense = reports[0]["model"]["dense"]
    rows = [_row(report) for report in reports]
    labelled = all(row["accuracy"] is not None for row in rows)
    with drawing():
        charts = [
            chart
            for key, name, unit in _COSTS
            if all(row[key] for row in rows)
            for chart in _charts(reports, rows, key, name, unit, labelled=labelled)
        ]
    return rendered(
        "sweep.html.j2",
        name=dense.get("file") or "A model",
        tool=reports[0]["tool"],
        dense=dense,
        charts=charts,
        rows=list(zip(rows, links or [None] * len(rows), strict=True)),
        labelled=labelled,
        dense_accuracy=reports[0]["accuracy"]["dense"] if labelled else None,
        agreeing=any(row["agreement"] is not None for row in rows),
        unmet=unmet,
        samples=reports[0]["samples"],
        versions=reports[0]["versions"],
        command=command_of(reports[0]) if reports[0].get("command_line") else None,
        data=json.dumps(list(reports)).replace("<", "\\u003c"),
    )


def _row(report: Mapping[str, Any]) -> dict[str, Any]:
    """A line of the table."""
    time = time_of(report)
    return {
        "budget": report["command"]["budget"],
        "model": report["model"]["compressed"],
        "bytes": report["model"]["compressed"]["bytes"],
        # Each was timed beside the dense model at another moment: their ratios compare.
        "time": None if time is None else time.median,
        "spread": None if time is None else time.quartiles,
        "error": report["divergence"].get("holdout_error"),
        "samples": report["samples"]["holdout"],
        "noisy": time is not None and time.state == NOISY,
        "divergence": report["divergence"]["holdout"],
        "predicted": report["divergence"]["predicted"],
        "agreement": agreement_of(report),
        "accuracy": report["accuracy"]["compressed"] if report["accuracy"] else None,
    }


def _around(value: float, interval: tuple[float, float] | None) -> tuple[float, float] | None:
    """How far an interval reaches below and above a value."""
    if interval is None:
        return None
    return max(0.0, value - interval[0]), max(0.0, interval[1] - value)


def _error(row: Mapping[str, Any], quality: str) -> tuple[float, float] | None:
    """How far a quality may lie below and above: 95 %."""
    value = row[quality]
    if quality == "accuracy":
        return _around(value, share_interval(value, max(1, row["samples"])))
    if row["error"] is None:
        return None
    # A logarithmic axis has no room for zero.
    return min(2 * row["error"], 0.9 * value), 2 * row["error"]


def _charts(
    reports: Sequence[Mapping[str, Any]],
    rows: Sequence[Mapping[str, Any]],
    key: str,
    name: str,
    unit: float,
    *,
    labelled: bool,
) -> list[str]:
    """Divergence and, where there are labels, accuracy against one cost."""
    dense = 1.0 if key == "time" else unit * reports[0]["model"]["dense"][key]
    qualities = [("divergence", "divergence, nats", True)]
    if labelled:
        qualities.append(("accuracy", "accuracy", False))
    charts = []
    for quality, label, less in qualities:
        points = [
            Point(
                row["budget"].partition("=")[2],
                unit * row[key],
                row[quality],
                _around(row["time"], row["spread"]) if key == "time" else None,
                _error(row, quality),
            )
            for row in rows
            if row[quality] is not None
        ]
        if not points:
            continue
        best = 0.0 if less else reports[0]["accuracy"]["dense"]
        whole = Point("dense", dense, best)
        unique = f"{key}-{quality}"
        charts.append(front_chart(points, whole, name, label, less_is_better=less, name=unique))
    return charts
