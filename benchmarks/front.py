"""The README's picture and table: quality against size and time, beside int8.

    python -m benchmarks.quantize minilm=targets=0.9,0.75,0.5 --save FIGURES.json
    python -m benchmarks.front [FIGURES.json ...]    # by default all of benchmarks/results/front/

Draws `docs/images/front.svg`, a row of panels for each model, and prints the table, which it writes
into `docs/research/results.md` as well. The divergence
is on a logarithmic axis, with what it means to a user: 0.01 nats a prediction are practically the
same model, 0.1 are visible, 1 is broken.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmarks import figures

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RESULTS = Path(__file__).parent / "results" / "front"
DOCS = Path(__file__).parent.parent / "docs"
PICTURE, PAGE = DOCS / "images" / "front.svg", DOCS / "research" / "results.md"
BEGIN, END = "<!-- front -->\n", "<!-- /front -->\n"

# Up to which divergence, in nats a prediction, and its colour.
BANDS = (
    (0.01, "practically the same", "#dcefe0"),
    (0.1, "small", "#f3f1da"),
    (1.0, "visible", "#f8e3d0"),
    (10.0, "broken", "#f3d3d0"),
)
LEAST, HIGHEST = 1e-5, 4.0  # what is less is drawn at the least

SERIES = (
    ("int8 alone", "#555555", "s"),
    ("factorized", "#1b6ca8", "o"),
    ("factorized + int8", "#c0392b", "D"),
)


@click.command()
@click.argument("files", nargs=-1, type=click.Path(exists=True, path_type=Path))
def main(files: tuple[Path, ...]) -> None:
    """Draw what FILES hold, and print it as a table."""
    rows = figures.read(files or sorted(RESULTS.glob("*.json")))
    by_model: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_model.setdefault(row["model"], []).append(row)
    lines = table(by_model)
    print("\n".join(lines))
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    page = before + BEGIN + "\n" + "\n".join(lines) + "\n\n" + END + after
    PAGE.write_text(page, encoding="utf-8")
    draw(by_model)


def table(by_model: dict[str, list[dict[str, Any]]]) -> list[str]:
    """The figures as lines of markdown."""
    text = ["| model | variant | metric | divergence | file | time |", "|---|---|---|---|---|---|"]
    for rows in by_model.values():
        dense = rows[0]
        for row in rows:
            budget, int8 = row["budget"], "int8" if row["int8"] else ""
            variant = " + ".join(filter(None, (budget and f"`{budget}`", int8))) or "dense"
            first = row is dense
            text.append(
                f"| {row['summary'] if first else ''} | {variant} | "
                f"{row['metric'] + ' ' if first else ''}{row['value']:.3f} | "
                f"{'' if first else format(row['divergence'], '.2g')} | "
                f"{_size(row['bytes'])} | {row['ratio']:.2f} x |"
            )
    return text


def draw(by_model: dict[str, list[dict[str, Any]]]) -> None:
    """Two panels for each model: against the size of the file, and against the time."""
    import matplotlib as mpl  # noqa: PLC0415 - an optional dependency
    from matplotlib import pyplot as plt  # noqa: PLC0415 - likewise

    mpl.rcParams.update({"svg.hashsalt": "front", "font.size": 10, "font.family": "sans-serif"})
    height = len(by_model)
    figure, axes = plt.subplots(
        height,
        2,
        figsize=(10, 0.9 + 2.9 * height),
        squeeze=False,
        sharey=True,
        layout="constrained",
    )
    for (left, right), rows in zip(axes, by_model.values(), strict=True):
        dense = rows[0]
        _panel(left, rows, lambda row, dense=dense: row["bytes"] / dense["bytes"])
        _panel(right, rows, lambda row: row["ratio"])
        left.set_title(_title(dense), loc="left", fontsize=11, fontweight="bold")
        left.set_ylabel("divergence, nats a prediction")
        left.set_xlabel("file size, as a share of the dense model's")
        right.set_xlabel("time of one sample, as a share of the dense model's")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(PICTURE, metadata={"Date": None})


def _panel(axis: Axes, rows: list[dict[str, Any]], place: Any) -> None:
    low = LEAST / 2
    for high, meaning, colour in BANDS:
        axis.axhspan(low, high, color=colour, zorder=0, linewidth=0)
        top = min(high, HIGHEST) / 1.2
        axis.text(1.09, top, meaning, ha="right", va="top", fontsize=8.5, color="#444444")
        low = high
    groups = (
        [row for row in rows if row["int8"] and not row["budget"]],
        [row for row in rows if row["budget"] and not row["int8"]],
        [row for row in rows if row["budget"] and row["int8"]],
    )
    for (name, colour, marker), found in zip(SERIES, groups, strict=True):
        x = [place(row) for row in found]
        y = [max(row["divergence"], LEAST) for row in found]
        axis.plot(x, y, color=colour, marker=marker, markersize=6, linewidth=1.4, label=name)
        for row, across, up in zip(found, x, y, strict=True):
            share = row["budget"].partition("=")[2]
            axis.annotate(
                share, (across, up), (5, -10), textcoords="offset points", fontsize=8, color=colour
            )
    axis.set(yscale="log", ylim=(LEAST / 2, HIGHEST), xlim=(0, 1.1))
    axis.grid(axis="x", color="white", linewidth=0.8)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)


def _title(dense: dict[str, Any]) -> str:
    return f"{dense['summary']}: {_size(dense['bytes'])}, {dense['milliseconds']:.2g} ms"


def _size(count: float) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e7 else f"{count / 1e6:.2f} MB"


if __name__ == "__main__":
    main()
