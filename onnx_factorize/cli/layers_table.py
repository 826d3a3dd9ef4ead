"""The table of operators: what became, or could become, of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from ..report.report import Layer
from ..units import count
from .console import say
from .encoding import escaped

__all__ = ["print_layers", "print_unit"]

# Characters of a line of a form or a reason, where there is little room.
_REASON = 12


def print_layers(console: Console, layers: Sequence[Layer], *, decided: bool = True) -> None:
    """Prints what became, or could become, of each linear operator.

    Args:
        console: Where to.
        layers: The operators.
        decided: Whether ranks were allocated; else the largest that each could have is shown.
    """
    heading = "rank" if decided or any(layer.rank for layer in layers) else "full rank"
    columns: list[tuple[Column, list[str | Text]]] = [
        (Column("node", overflow="fold"), [Text(escaped(name)) for name in _names(layers)]),
        (Column("operator", no_wrap=True), [layer.op_type for layer in layers]),
        (
            Column("form or reason"),
            [layer.form or _dim(layer.reason or layer.status) for layer in layers],
        ),
        (_figure(heading), [_rank(layer, decided=decided) for layer in layers]),
        (_figure("parameters"), [_change(*layer.params) for layer in layers]),
        (_figure("MACs"), ["" if x.macs is None else count(x.macs[1]) for x in layers]),
        (_figure("loss"), ["" if x.loss is None else f"{x.loss:.2g}" for x in layers]),
    ]
    shown = [(column, cells) for column, cells in columns if not layers or any(map(bool, cells))]
    # Names are folded last: reasons are of short words, and figures are not to be cut off.
    name, *rest = (max([len(str(c.header)), *map(len, cells)]) for c, cells in shown)
    taken = sum(rest) - max(0, rest[1] - _REASON) + 2 * len(shown) - 1
    shown[0][0].width = min(name, max(_REASON, console.width - taken))
    columns_of_table = [column for column, _ in shown]
    table = Table(*columns_of_table, box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for row in zip(*(cells for _, cells in shown), strict=True):
        table.add_row(*row)
    console.print(table)


def _names(layers: Sequence[Layer]) -> list[str]:
    """The modules that operators come from, for a reader, where each is that of one alone."""
    shared = Counter(layer.module for layer in layers)
    return [
        layer.module if layer.module and shared[layer.module] == 1 else layer.name
        for layer in layers
    ]


def _dim(text: str) -> Text:
    return Text(escaped(text), style="dim")


def _figure(heading: str) -> Column:
    return Column(heading, justify="right", no_wrap=True)


def _rank(layer: Layer, *, decided: bool) -> str:
    if layer.full_rank is None:
        return ""
    if layer.rank is None and not decided:
        return str(layer.full_rank)
    return f"{layer.rank or 'dense'}/{layer.full_rank}"


def _change(dense: int, now: int) -> str:
    return count(dense) if dense == now else f"{count(dense)} → {count(now)}"


def print_unit(
    console: Console, divergence: Mapping[str, Any], factorized: Sequence[Layer]
) -> None:
    """Prints what the losses of layers are, beside the divergence of the whole."""
    if not factorized:
        return
    said = "relative, the share of an operator's own energy: it says nothing of the outputs"
    if divergence["loss_unit"] == "nats":
        alone, together = divergence["second_order"], divergence["predicted"]
        said = (
            f"nats a prediction, predicted for each cut alone to second order: {alone:.2g} in all"
        )
        if together != alone:
            said += f", {together:.2g} of all together on unseen samples"
    say(console, (f"  loss: {said}", "dim"))
