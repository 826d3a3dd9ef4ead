"""Quality against cost of several models: which of them none of the others beats at both."""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from matplotlib.transforms import Bbox

from .svg import ACCENT, FAINT, INK, MUTED, svg

__all__ = ["Point", "front_chart", "pareto"]

# The extent of a label, in points.
_CHARACTER, _LINE = 5.2, 9.0


@dataclasses.dataclass(frozen=True)
class Point:
    """One model.

    Attributes:
        label: What it is called beside its point.
        cost: Such as its size.
        quality: Such as its divergence.
        cost_error: How far the cost may lie below and above; None where that is not known.
        quality_error: Likewise.
    """

    label: str
    cost: float
    quality: float
    cost_error: tuple[float, float] | None = None
    quality_error: tuple[float, float] | None = None


def pareto(points: Sequence[Point], *, less_is_better: bool = True) -> list[Point]:
    """Those that no other beats in cost without losing quality, by rising cost."""
    sign = 1 if less_is_better else -1
    front: list[Point] = []
    for point in sorted(points, key=lambda p: (p.cost, sign * p.quality)):
        if not front or sign * point.quality < sign * front[-1].quality:
            front.append(point)
    return front


def front_chart(
    points: Sequence[Point],
    dense: Point,
    cost: str,
    quality: str,
    *,
    less_is_better: bool = True,
    name: str = "",
) -> str:
    """Every model as a point, with the front that the best of them make.

    Args:
        points: The compressed models.
        dense: The dense model; its quality is not drawn where less is better, because it is none.
        cost: What the horizontal axis says.
        quality: What the vertical axis says.
        less_is_better: Whether quality is a loss, drawn on a logarithmic scale.
        name: Unique on the page.
    """
    figure = Figure(figsize=(3.6, 2.4), dpi=72)  # a pixel is a point
    axes = figure.add_axes((0.16, 0.17, 0.79, 0.76))
    on_log = less_is_better and all(point.quality > 0 for point in points)
    front = pareto(points, less_is_better=less_is_better)
    axes.step(*_xy(front), where="post", color=ACCENT, linewidth=1.4)
    axes.plot(*_xy(front), "o", color=ACCENT, markersize=6)
    beaten = [point for point in points if point not in front]
    axes.plot(*_xy(beaten), "o", color=MUTED, markersize=5, fillstyle="none")
    for point in points:
        _bars(axes, point, MUTED if point in beaten else ACCENT)
    axes.axvline(dense.cost, color=FAINT, linewidth=1)
    if less_is_better:
        axes.text(dense.cost, 0.99, "dense ", transform=axes.get_xaxis_transform(), color=MUTED,
                  ha="right", va="top")  # fmt: skip
    else:
        axes.plot([dense.cost], [dense.quality], "D", color=INK, markersize=5)
        points = [*points, dense]
    if on_log:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(numticks=6))
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.yaxis.set_major_locator(MaxNLocator(5))
    most = max(dense.cost, *(point.cost for point in points))
    axes.set_xlim(0, 1.08 * most)
    axes.margins(y=0.18)
    axes.set_xlabel(cost)
    axes.set_ylabel(quality)
    named = [*front, dense, *beaten] if dense in points else [*front, *beaten]
    _name(axes, named, {id(point) for point in beaten})
    return svg(figure, f"front-{name}", f"{quality} against {cost} of {len(points)} models")


def _bars(axes: Axes, point: Point, color: str) -> None:
    """Draws how far a point may lie from where it is."""
    along = None if point.cost_error is None else [[e] for e in point.cost_error]
    across = None if point.quality_error is None else [[e] for e in point.quality_error]
    if along or across:
        axes.errorbar(
            [point.cost], [point.quality], across, along, ecolor=color, elinewidth=1, capsize=2,
            fmt="none",
        )  # fmt: skip


def _name(axes: Axes, points: Sequence[Point], faint: Container[int]) -> None:
    """Puts each label beside its point where no earlier one is; what finds no place has none."""
    taken: list[Bbox] = []
    for point in points:
        x, y = axes.transData.transform((point.cost, point.quality))
        width, height = _CHARACTER * len(point.label), _LINE
        for dx, dy in ((5, 3), (5, -_LINE), (-5 - width, 3), (-5 - width, -_LINE)):
            box = Bbox.from_bounds(x + dx, y + dy, width, height)
            inside = axes.bbox.x0 <= box.x0 and box.x1 <= axes.figure.bbox.x1
            if inside and not any(box.overlaps(other) for other in taken):
                taken.append(box)
                axes.annotate(
                    point.label, (point.cost, point.quality), (dx, dy), textcoords="offset pixels",
                    color=MUTED if id(point) in faint else INK,
                )  # fmt: skip
                break


def _xy(points: Sequence[Point]) -> tuple[list[float], list[float]]:
    return [point.cost for point in points], [point.quality for point in points]
