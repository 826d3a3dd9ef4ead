"""Matplotlib figures as SVG that lives inside a page: its colours, its font, its width."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

__all__ = ["ACCENT", "FAINT", "INK", "MUTED", "WARN", "drawing", "svg"]

# Colours that stand for variables of the page's style, which differ by day and night.
INK, MUTED, FAINT, ACCENT, WARN = "#010101", "#020202", "#030303", "#040404", "#050505"
_VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    FAINT: "--line",
    ACCENT: "--accent",
    WARN: "--warn",
}

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text
    "font.size": 8,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "legend.frameon": False,
}


@contextlib.contextmanager
def drawing() -> Iterator[None]:
    """Within it, figures are drawn in the style of the pages."""
    with mpl.rc_context(_STYLE):
        yield


def svg(figure: Figure, name: str, description: str) -> str:
    """The markup of a figure, with the page's colours instead of fixed ones.

    Args:
        figure: Drawn in the colours of this module.
        name: Unique on the page: identifiers are made of it.
        description: What a reader who does not see it should know.
    """
    target = io.StringIO()
    # The salt keeps the identifiers of two figures apart, and the same from run to run.
    with mpl.rc_context({"svg.hashsalt": name}):
        figure.savefig(target, format="svg", metadata={"Date": None})
    text = target.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*"', "<g", text)  # only what is referred to needs one
    text = re.sub(r"font: ([\d.]+px)[^;\"]*", r"font-size: \1", text)
    text = re.sub(r' (?:width|height)="[\d.]+pt"', "", text, count=2)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    label = description.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    return re.sub(r"\n\s*", "\n", text).replace("<svg", f'<svg role="img" aria-label="{label}"', 1)
