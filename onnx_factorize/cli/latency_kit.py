"""`onnx-factorize latency-kit MODEL -o KIT`: models that tell what ranks take on another device."""

from __future__ import annotations

import pathlib
from typing import Any

import click

from ..files import model_io
from ..latency_kit import write_check, write_kit
from ..latency_kit.folder import check_folder
from .console import open_console, say
from .data_options import optional_data_options
from .grouped import GroupedCommand, option
from .headings import CUTS, FILES, GOAL
from .help import help_option
from .option_fields import fields, options_of

__all__ = ["latency_kit_command"]


@click.command("latency-kit", cls=GroupedCommand)
@click.argument("model", metavar="MODEL", type=click.Path())
@option(
    "-o",
    "--output",
    group=FILES,
    type=click.Path(),
    metavar="KIT",
    required=True,
    help="The folder to write.",
)
@option(
    "--with-dense",
    group=FILES,
    is_flag=True,
    help="Put MODEL itself into it. Budgets of time need its latency: without this, "
    "run.py --dense MODEL measures it.",
)
@option(
    "--verify",
    group=FILES,
    multiple=True,
    type=click.Path(),
    metavar="SMALL",
    help="Write a kit of whole models instead: MODEL, and SMALL that was made of it by "
    "--latency-profile. Its results, given as another --latency-profile, correct the next. "
    "Repeatable.",
)
@optional_data_options
@fields(GOAL, "deploy_to")
@fields(CUTS, "include", "exclude", "op_types", "form", "rank_multiple")
@help_option
def latency_kit_command(
    model: str, output: str, calib: str | list[str] | None, **given: Any
) -> None:
    """Write small models that tell what ranks of MODEL take on another device.

    Copy KIT there, call 'python run.py' in it, and give the results.json that it writes to compress
    as --latency-profile. Shapes are those of a sample of --calib, or of zeros.
    """
    model_io.check_file(pathlib.Path(model))
    folder, options = pathlib.Path(output), options_of(given)
    check_folder(folder)
    small = given["verify"]
    for path in small:
        model_io.check_file(pathlib.Path(path))
    console, progress = open_console(quiet=given["quiet"])
    if small:
        kit = write_check(model, small, folder, options, progress, calib)
        said = f", {1 + len(small)} whole models, {kit.bytes / 1e6:.1f} MB"
    else:
        kit = write_kit(model, folder, options, progress, calib, with_dense=given["with_dense"])
        said = f", {kit.models} models of {kit.families} operators, {kit.bytes / 1e6:.1f} MB"
    say(console, "wrote ", (str(folder), "bold"), said)
    dense = "" if small or given["with_dense"] else f" --dense {pathlib.Path(model).name}"
    say(console, (f"  run there: python {folder.name}/run.py{dense}", "dim"))
