"""`onnx-factorize calibrate` and `merge`: statistics in files, in as many parts as there are."""

from __future__ import annotations

import pathlib
from typing import Any

import click

from ..calibrating import calibrate_to, survey_alone
from ..check_options import check_options
from ..errors import InputError
from ..files import model_io
from ..foreign import reading
from ..shards import WHOLE, Shard, merge_files
from ..statistics.part import Part
from ..statistics.statistics_file import save
from .console import open_console, say
from .data_options import data_options, output_of
from .destinations import Destinations
from .grouped import GroupedCommand, option
from .headings import CUTS, DATA, FILES, GOAL, MACHINE, PARTS, RANKS
from .help import help_option
from .option_fields import fields, options_of
from .written_files import expect

__all__ = ["calibrate_command", "merge_command"]


@click.command("calibrate", cls=GroupedCommand)
@click.argument("model", metavar="MODEL", type=click.Path())
@data_options
@fields(DATA, "holdout", "labels", "draws")
@option(
    "-o",
    "--output",
    group=FILES,
    type=click.Path(),
    metavar="FILE",
    required=True,
    help="The .npz to write.",
)
@option(
    "--shard",
    group=PARTS,
    metavar="I/N",
    help="Only part I of N, such as 3/16; merge adds them up.",
)
@option(
    "--survey",
    group=PARTS,
    is_flag=True,
    help="Only find out what all parts share: scales of outputs, folds, channels to observe.",
)
@option(
    "--use-survey",
    group=PARTS,
    type=click.Path(),
    metavar="FILE",
    help="What --survey found; without it each part looks at samples of all data.",
)
@option(
    "--resume",
    group=PARTS,
    is_flag=True,
    help="Leave FILE as it is if it holds this part already, of the same model, data and options.",
)
@fields(GOAL, "deploy_to")
@fields(RANKS, "weighting", "ranks", "effort")
@fields(CUTS, "include", "exclude", "op_types", "form", "narrow", "keep_subnormals")
@fields(MACHINE, "blockwise", "workers", "scheduler")
@help_option
def calibrate_command(model: str, output: str, **given: Any) -> None:
    """Gather the statistics of MODEL, for compress --statistics."""
    if given["survey"] and (given["shard"] or given["use_survey"]):
        raise InputError("--survey looks at all data: leave --shard and --use-survey out.")
    if given["survey"] and given["resume"]:
        raise InputError("--resume is for parts: leave it out, or --survey.")
    model_io.check_file(pathlib.Path(model))
    target, options = output_of(output), options_of(given)
    check_options(options)
    shard = WHOLE if given["shard"] is None else Shard.parse(given["shard"])
    named = {given["use_survey"]: "is the survey"} if given["use_survey"] else {}
    destinations = Destinations([], copies=[target])
    destinations.check(
        pathlib.Path(model), given["calib"], given["custom_ops"], given["tokenizer"], named
    )
    expect([target])
    console, progress = open_console(quiet=given["quiet"])
    if given["survey"]:
        part, there = survey_alone(model, given["calib"], options, progress), False
        save(part, target)
    else:
        survey, resume = given["use_survey"], given["resume"]
        part, there = calibrate_to(
            target, model, given["calib"], options, progress, shard, survey, resume=resume
        )
    done = ("", " was there already") if there else ("wrote ", "")
    say(console, done[0], (str(target), "bold"), f"{done[1]}, {_said(part)}")


@click.command("merge")
@click.argument("parts", metavar="PART...", type=click.Path(), nargs=-1, required=True)
@click.option(
    "-o", "--output", type=click.Path(), metavar="FILE", required=True, help="The .npz to write."
)
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
@help_option
def merge_command(parts: tuple[str, ...], output: str, *, quiet: bool) -> None:
    """Add up the PARTs of a calibration."""
    target = output_of(output)
    for part in map(pathlib.Path, parts):
        with reading(f"{target} cannot be written"):
            same = target.exists() and part.exists() and target.samefile(part)
        if same:
            raise InputError(f"{target} is one of the parts; choose another output.")
    expect([target])
    console, _ = open_console(quiet=quiet)
    merged = merge_files(parts)
    save(merged, target)
    say(console, "wrote ", (str(target), "bold"), f", {_said(merged)}")


def _said(part: Part) -> str:
    """What a file holds."""
    samples = len(part.shared.survey.folds)
    if part.gathered is None:
        return f"a survey for {samples:,} samples"
    if len(part.numbers) == part.count:
        return f"the statistics of {samples:,} samples"
    return f"part {part.numbers[0]} of {part.count} of the statistics of {samples:,} samples"
