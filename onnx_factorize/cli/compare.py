"""`onnx-factorize compare DENSE SMALL`: two models or more side by side."""

from __future__ import annotations

import json
from typing import Any

import click

from ..notes import notes_of, stream_said
from ..report.comparison import compare_several
from .console import open_console
from .data_options import data_options
from .grouped import GroupedCommand, option
from .headings import PRINTED
from .help import help_option
from .option_fields import options_of
from .printing import echo
from .tables import (
    comparison_table,
    models_table,
    print_agreement,
    print_notes,
    print_samples,
    print_time,
)

__all__ = ["compare_command"]


@click.command("compare", cls=GroupedCommand)
@click.argument("dense", metavar="DENSE", type=click.Path())
@click.argument("compressed", metavar="COMPRESSED...", type=click.Path(), nargs=-1, required=True)
@data_options
@option("--json", "as_json", is_flag=True, help="Print JSON.", group=PRINTED)
@help_option
def compare_command(dense: str, compressed: tuple[str, ...], as_json: bool, **given: Any) -> None:
    """Show divergence, size, arithmetic and latency of two or more models side by side."""
    console, progress = open_console(quiet=given["quiet"] or as_json)
    comparisons = compare_several(
        dense,
        compressed,
        given["calib"],
        options_of(given, holdout=0.0),
        progress=progress,
    )
    if as_json:
        several = {"models": [found.as_dict() for found in comparisons]}
        one = comparisons[0].as_dict() if len(comparisons) == 1 else several
        echo(json.dumps(one, indent=1))
        return
    found = comparisons[0]
    random = None if found.random is None else found.random.nodes
    chosen = None if found.selected is None else found.selected.as_dict()
    caches = None if found.caches is None else found.caches.as_dict()
    streams = [
        stream_said(
            None if each.stream is None else each.stream.as_dict(), each.agreement.divergence
        )
        for each in comparisons
    ]
    if len(comparisons) > 1:
        console.print(models_table(compressed, comparisons))
        print_samples(console, found.agreement.samples)
        for name, each, stream in zip(compressed, comparisons, streams, strict=True):
            file = each.compressed.file or name
            print_time(console, each.time, f"{file}: ")
            print_notes(console, [] if stream is None else [f"{file}: {stream}"])
        print_notes(console, notes_of(found.data, chosen, caches, None, random))
        return
    console.print(
        comparison_table(found.dense, found.compressed, found.agreement.accuracy, time=found.time)
    )
    print_time(console, found.time)
    print_agreement(console, found.agreement)
    print_notes(console, notes_of(found.data, chosen, caches, streams[0], random))
