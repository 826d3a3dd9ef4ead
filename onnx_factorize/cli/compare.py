"""`onnx-factorize compare DENSE SMALL`: two models or more side by side."""

from __future__ import annotations

import json
from typing import Any

import click

from ..options import Runtime
from ..report.comparison import compare_several
from .console import echo, open_console
from .data_options import data_options, images_of, named_of, output_kinds_of, selection_of, state_of
from .help import help_option
from .notes import print_notes
from .tables import (
    comparison_table,
    models_table,
    print_agreement,
    print_data,
    print_samples,
    print_time,
)

__all__ = ["compare_command"]


@click.command("compare")
@click.argument("dense", metavar="DENSE", type=click.Path())
@click.argument("compressed", metavar="COMPRESSED...", type=click.Path(), nargs=-1, required=True)
@data_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@help_option
def compare_command(dense: str, compressed: tuple[str, ...], as_json: bool, **given: Any) -> None:
    """Show divergence, size, arithmetic and latency of two or more models side by side."""
    console, progress = open_console(quiet=given["quiet"] or as_json)
    comparisons = compare_several(
        dense,
        compressed,
        given["calib"],
        selection=selection_of(given, 0.0),
        images=images_of(given),
        runtime=Runtime(given["provider"], given["threads"], given["custom_ops"]),
        outputs=output_kinds_of(given),
        batch_axis=named_of(given, "batch_axis", "AXIS"),
        mask=named_of(given, "mask", "MEANING"),
        state=state_of(given),
        progress=progress,
    )
    if as_json:
        several = {"models": [found.as_dict() for found in comparisons]}
        one = comparisons[0].as_dict() if len(comparisons) == 1 else several
        echo(json.dumps(one, indent=1))
        return
    random = comparisons[0].random
    nodes = None if random is None else random.nodes
    if len(comparisons) > 1:
        console.print(models_table(compressed, comparisons))
        print_samples(console, comparisons[0].agreement.samples)
        for name, each in zip(compressed, comparisons, strict=True):
            print_time(console, each.time, f"{each.compressed.file or name}: ")
        print_data(console, comparisons[0].data)
        print_notes(console, None, None, 0.0, nodes)
        return
    found = comparisons[0]
    console.print(
        comparison_table(found.dense, found.compressed, found.agreement.accuracy, time=found.time)
    )
    print_time(console, found.time)
    print_agreement(console, found.agreement)
    print_data(console, found.data)
    print_notes(
        console,
        None if found.selected is None else found.selected.as_dict(),
        None if found.stream is None else found.stream.as_dict(),
        found.agreement.divergence,
        nodes,
    )
