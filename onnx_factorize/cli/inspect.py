"""`onnx-factorize inspect MODEL`: what could be compressed, and what not."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import click
from rich.console import Console

from ..errors import named
from ..report.inspection import inspect
from ..report.lint import Lint
from ..report.report import Layer
from ..units import count
from .console import open_console, say
from .grouped import GroupedCommand, option
from .headings import GOAL, MACHINE, PRINTED
from .help import help_option
from .layers_table import print_layers
from .option_fields import fields
from .printing import echo
from .tables import outlook_table

__all__ = ["inspect_command"]

# Groups of channels that are named.
_NAMED = 3

# Operators that are named which are left alone for one reason.
_FEW = 2

# What a reason calls by its name.
_QUOTED = re.compile(r"'[^']*'")


@click.command("inspect", cls=GroupedCommand)
@click.argument("model", metavar="MODEL", type=click.Path())
@option("--json", "as_json", is_flag=True, help="Print JSON.", group=PRINTED)
@option("-v", "--verbose", is_flag=True, help="List every operator.", group=PRINTED)
@fields(GOAL, "deploy_to")
@fields(MACHINE, "custom_ops")
@help_option
def inspect_command(
    model: str, as_json: bool, verbose: bool, deploy_to: str | None, custom_ops: tuple[str, ...]
) -> None:
    """Show what is factorizable in MODEL, what it costs, and what is skipped and why."""
    found = inspect(model, custom_ops=custom_ops, deploy_to=deploy_to)
    if as_json:
        echo(json.dumps(found.as_dict(), indent=1))
        return
    console, _ = open_console(quiet=False)
    inputs = dict(spec.rsplit(": ", 1) for spec in found.inputs)
    for name, spec in _collapsed(inputs, found.caches):
        say(console, f"input   {name}: {spec}")
    for name, kind in _collapsed(found.outputs, found.caches):
        say(console, f"output  {name}: {kind}")
    shown, alike = found.layers, []
    if not verbose:
        shown = [layer for layer in found.layers if layer.status != "skipped" or layer.form]
        alike = [layer for layer in found.layers if layer.status == "skipped" and not layer.form]
    print_layers(console, shown, decided=False)
    _say_skipped(console, alike)
    if found.history:
        made = f"made by onnx-factorize {found.history.get('version', '')}"
        say(console, f"{made}: {found.history.get('options', '')}")
    share = found.target_params / max(1, found.params)
    say(
        console,
        f"{found.params:,} parameters, {found.target_params:,} of them ({share:.1%}) factorizable; "
        f"opset {found.opset}",
    )
    _say_channels(console, found.channels)
    if found.deployment is not None:
        _say_deployment(console, found.deployment)
    if found.counted_on:
        shapes = {name: str(shape) for name, shape in found.counted_on.items()}
        sample = ", ".join(f"{name} {shape}" for name, shape in _collapsed(shapes, found.caches))
        say(console, (f"  MACs are those of one sample, counted on zeros: {sample}", "dim"))
    if found.outlook:
        console.print(outlook_table(found.outlook))
    shares = [row.budget.partition("=")[2] for row in found.outlook if row.params is not None]
    if shares:
        hint = (
            "  ranks alike; what is lost needs data: onnx-factorize MODEL --calib DATA --sweep "
            f"{','.join(shares)} --dry-run"
        )
        say(console, (hint, "dim"))


def _say_skipped(console: Console, layers: Sequence[Layer]) -> None:
    """Prints which operators are left alone, those of one reason in a line."""
    reasons: dict[str, list[Layer]] = {}
    for layer in layers:
        reasons.setdefault(_QUOTED.sub("''", layer.reason or layer.status), []).append(layer)
    for same in reasons.values():
        names = named([layer.name for layer in same], _FEW)
        held = sum(layer.params[0] for layer in same)
        size = f", {count(held)} parameters" if held else ""
        said = f"  not factorizable: {names}: {same[0].reason or same[0].status}{size}"
        say(console, (said, "dim"))
    if layers:
        say(console, ("  (-v lists each)", "dim"))


def _collapsed(said: Mapping[str, str], caches: Collection[str]) -> list[tuple[str, str]]:
    """Names with what is said of each: caches of which the same is said are one line."""
    groups: dict[tuple[bool, str], list[str]] = {}
    for name, what in said.items():
        kept = name in caches
        groups.setdefault((kept, what if kept else name), []).append(name)
    return [
        (names[0] if len(names) == 1 else f"{names[0]} … {len(names)} caches", said[names[0]])
        for names in groups.values()
    ]


def _say_deployment(console: Console, found: Lint) -> None:
    """Prints what a device settles, and what it finds wrong with the model."""
    say(console, f"for {found.title} (--deploy-to {found.device}): {found.settings}")
    for finding in found.findings:
        say(console, "  ", ("note:", "yellow"), f" {finding.said}")


def _say_channels(console: Console, channels: Sequence[Mapping[str, Any]]) -> None:
    """Prints which channels between operators may go, and why others may not."""
    free = [each for each in channels if each["reason"] is None]
    if free:
        widths = ", ".join(f"{each['name']} {each['width']}" for each in free[:_NAMED])
        more = f" and {len(free) - _NAMED} more" if len(free) > _NAMED else ""
        say(console, f"{len(free)} groups of channels can be narrowed: {widths}{more}")
    reasons: dict[str, list[Mapping[str, Any]]] = {}
    for each in channels:
        if each["reason"] is not None:
            reasons.setdefault(_QUOTED.sub("''", each["reason"]), []).append(each)
    for alike in reasons.values():
        reason, names = alike[0]["reason"], [each["name"] for each in alike]
        others = len({each["reason"] for each in alike}) - 1
        more = f" (and {others} more of the kind)" if others else ""
        said = f"  the channels of {named(names, _NAMED)} stay: {reason}{more}"
        say(console, (said, "dim"))
