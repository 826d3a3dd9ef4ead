"""The charts of the pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from .svg import ACCENT, FAINT, MUTED, svg

__all__ = ["cut_chart"]

# What is smaller than this share of the largest is drawn at the bottom.
_DECADES = 1e-8


def cut_chart(layer: Mapping[str, Any], number: int) -> str:
    """The predicted loss of a cut at every rank, over the spectrum, with the cut that was made.

    Args:
        layer: A layer of the report that has a curve.
        number: Its place, unique on the page.
    """
    figure = Figure(figsize=(3.3, 1.75))
    axes = figure.add_axes((0.15, 0.19, 0.82, 0.74))
    full, rank = layer["full_rank"], layer["rank"]
    points = [(r, loss) for r, loss in layer["curve"] if loss is not None]
    top = max((loss for _, loss in points), default=0.0)
    if top > 0:
        _curve(axes, points, top)
    axes.set_xlim(0, full)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    if layer["spectrum"]:
        _spectrum(axes, layer["spectrum"])
    said = "kept dense"
    if rank:
        # Beyond this rank two factors hold more than the dense weight; of three, none says.
        even = (
            full if layer["form"] == "Tucker-2" else layer["params"][0] * rank / layer["params"][1]
        )
        if even < full:
            axes.axvspan(even, full, color=FAINT, alpha=0.5, linewidth=0)
        said = f"cut at {rank} of {full}"
        axes.axvline(rank, color=ACCENT, linewidth=1.2, linestyle=(0, (3, 2)))
        loss = dict(points).get(rank)
        if loss and top > 0:
            axes.plot([rank], [max(loss, top * _DECADES)], "o", color=ACCENT, markersize=4)
    return svg(figure, f"cut{number}", f"Predicted loss by rank of {layer['name']}, {said}")


def _curve(axes: Axes, points: Sequence[tuple[int, float]], top: float) -> None:
    shown = [(r, loss) for r, loss in points if loss >= top * _DECADES]
    axes.plot(*zip(*shown, strict=True), color=ACCENT, linewidth=1.6)
    axes.set_yscale("log")
    least = min(loss for _, loss in shown)
    axes.set_ylim(least / 2, top * 3)
    axes.yaxis.set_major_locator(LogLocator(numticks=5))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _spectrum(axes: Axes, spectrum: Sequence[tuple[int, float]]) -> None:
    """σ² behind the curve, on a scale of its own: only its shape speaks."""
    top = max(share for _, share in spectrum)
    shown = [(k + 1, share) for k, share in spectrum if share >= top * _DECADES]
    if not shown or top <= 0:
        return
    behind = axes.twinx()
    behind.set_yscale("log")
    ranks, shares = zip(*shown, strict=True)
    behind.fill_between(ranks, shares, min(shares) / 2, color=MUTED, alpha=0.18, linewidth=0)
    behind.set_ylim(min(shares) / 2, top * 3)
    behind.set_axis_off()
    behind.set_zorder(axes.get_zorder() - 1)
    axes.patch.set_visible(False)
