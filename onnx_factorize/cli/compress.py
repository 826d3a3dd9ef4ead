"""`onnx-factorize MODEL --calib DATA`: compress, to one budget or to several."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import click
from rich.console import Console

from .. import processes
from ..check_options import check_options
from ..errors import BudgetError, InputError
from ..files import model_io
from ..files.side_files import SideFiles
from ..notes import notes_of
from ..options import Options
from ..passes.identity_blocks import BLOCK, NOTE, identity_blocks_in
from ..pipeline import run
from ..report.report_files import write_sweep
from ..sweeping import budgets_of, run_sweep, with_suffix
from .config import config_given, config_option
from .console import open_console, say
from .data_options import data_options, default_output, output_of
from .destinations import Destinations
from .encoding import escaped
from .grouped import GroupedCommand, option
from .headings import CUTS, DATA, FILES, GOAL, MACHINE, PRINTED, QUANTIZATION, RANKS, TRAINING
from .help import help_option
from .option_fields import fields, options_of
from .printing import complain
from .tables import print_notes, print_report, print_samples, sweep_table
from .typed import typed
from .written_files import expect, expect_checkpoint

__all__ = ["compress_command"]


@click.command("compress", cls=GroupedCommand)
@click.argument("model", metavar="MODEL", type=click.Path())
@fields(GOAL, "budget", "max_divergence", "keep", "metric", "prefer", "best_effort", "deploy_to")
@fields(MACHINE, "blockwise", "workers", "scheduler")
@fields(GOAL, "latency_profile")
@option(
    "--sweep",
    group=GOAL,
    metavar="LIST",
    help="Several budgets from one calibration, such as 0.9,0.75,0.5, in the unit of --budget; "
    "writes OUT once for each, as OUT.0.5.onnx.",
)
@data_options
@fields(DATA, "holdout", "labels", "draws", "statistics")
@option(
    "-o",
    "--output",
    group=FILES,
    type=click.Path(),
    metavar="OUT",
    help="Default: MODEL.factorized.onnx beside MODEL.",
)
@option("--dry-run", is_flag=True, help="Show what would come of it; write nothing.", group=FILES)
@fields(RANKS, "weighting", "ranks", "effort", "max_time", "rank_multiple")
@fields(CUTS, "include", "exclude", "op_types", "form", "factors", "narrow", "keep_subnormals")
@fields(TRAINING, "finetune", "epochs", "learning_rate", "label_share", "hidden", "augment")
@fields(TRAINING, "device", "precision", "svt", "checkpoint")
@fields(QUANTIZATION, "quantize")
@option(
    "--report",
    group=FILES,
    multiple=True,
    type=click.Path(),
    metavar="FILE",
    help="Write what happened: FILE.json or FILE.html.",
)
@config_option
@option(
    "--copy-side-files",
    group=FILES,
    is_flag=True,
    help="Copy what lies beside MODEL and goes with it (tokenizer, configurations) to the folder "
    "of OUT; genai_config.json then names OUT.",
)
@option("-v", "--verbose", is_flag=True, help="List every operator, with reasons.", group=PRINTED)
@help_option
def compress_command(model: str, output: str | None, report: tuple[str, ...], **given: Any) -> None:
    """Compress MODEL (the default command)."""
    if given["dry_run"] and given["checkpoint"] is not None:
        raise InputError("--checkpoint writes a file, and --dry-run writes none: leave one out.")
    if processes.rank():  # the first of several writes, and reports
        given |= {"dry_run": True, "quiet": True}
    model_io.check_file(pathlib.Path(model))
    target = output_of(output) if output else default_output(model)
    options = options_of(given)
    check_options(options)
    reports = [output_of(file) for file in report]
    if given["sweep"] is not None:
        if options.promise is not None:
            raise InputError(
                "Give --sweep or a guarantee, not both: a guarantee looks for one budget."
            )
        _sweep(model, target, reports, options, given)
        return
    checkpoints = options.training.checkpoints
    beside = SideFiles(pathlib.Path(model), target) if given["copy_side_files"] else None
    copies = list(beside.contents) if beside is not None else []
    destinations = Destinations([target], reports, checkpoints, copies)
    destinations.check(pathlib.Path(model), given["calib"], *_also_read(given))
    expect([target, *reports, *copies])
    expect_checkpoint(given["checkpoint"])
    console, progress = open_console(quiet=given["quiet"])
    result = run(model, given["calib"], options, progress, dry=given["dry_run"])
    result.report.command_line, result.report.config = typed(), config_given()
    if not given["dry_run"]:
        result.save(target, reports, side_files=beside)
    print_report(console, result.report, all_layers=given["verbose"])
    _say_written(console, [] if given["dry_run"] else [target, *reports, *copies])
    if beside is not None:
        _say_beside(console, beside)
    if identity_blocks_in(result.model):
        say(console, f"it holds identity blocks: {NOTE}")


def _sweep(
    model: str,
    target: pathlib.Path,
    reports: list[pathlib.Path],
    options: Options,
    given: dict[str, Any],
) -> None:
    """Compresses to each budget of `--sweep`, prints a line for each, and draws the front."""
    if options.training.checkpoint is not None:
        raise InputError("--checkpoint keeps one training, and --sweep makes several.")
    if given["copy_side_files"]:
        raise InputError(
            "--copy-side-files makes a folder of one model, and --sweep writes several: leave one "
            "out."
        )
    budgets = budgets_of(options.budget.kind, given["sweep"])
    pages = [path for path in reports if path.suffix == ".html"]
    destinations = Destinations(
        [with_suffix(target, budget) for budget in budgets],
        [*(with_suffix(path, budget) for budget in budgets for path in reports), *pages],
    )
    destinations.check(pathlib.Path(model), given["calib"], *_also_read(given))
    expect(destinations)
    console, progress = open_console(quiet=given["quiet"])
    found, unmet = [], []
    written: list[pathlib.Path] = []
    for budget, result in run_sweep(
        model, given["calib"], options, budgets, progress, dry=given["dry_run"]
    ):
        if isinstance(result, BudgetError):
            unmet.append(str(result))
            continue
        result.report.command_line, result.report.config = typed(), config_given()
        if not given["dry_run"]:
            own = [with_suffix(path, budget) for path in (target, *reports)]
            result.save(own[0], own[1:])
            written += own
        found.append((budget, result.report))
    if not given["dry_run"]:
        for page in pages:
            write_sweep({with_suffix(page, b).name: report for b, report in found}, unmet, page)
        written += pages
    for reason in () if given["quiet"] else unmet:
        complain(f"{click.style('skipped:', fg='yellow')} {escaped(reason)}")
    console.print(sweep_table([report for _, report in found]))
    print_samples(console, found[0][1].samples["holdout"])
    first = found[0][1]
    random = None if first.random is None else first.random["nodes"]
    print_notes(console, notes_of(first.data, first.selection, first.caches, None, random))
    _say_written(console, written)
    if any(BLOCK in (layer.form or "") for _, report in found for layer in report.layers):
        say(console, f"some hold identity blocks: {NOTE}")


def _also_read(
    given: Mapping[str, Any],
) -> tuple[Sequence[str], str | None, Mapping[str, str]]:
    """The libraries, the tokenizer, the statistics and the profile that options name."""
    statistics = given["statistics"]
    others = {} if statistics is None else {statistics: "holds the statistics"}
    if given["config"] is not None:
        others[given["config"]] = "holds the options"
    others |= dict.fromkeys(given["latency_profile"], "holds the latency profile")
    return given["custom_ops"], given["tokenizer"], others


def _say_written(console: Console, written: Sequence[pathlib.Path]) -> None:
    if not written:
        say(console, "wrote nothing (--dry-run)")
    for path in written:
        say(console, "wrote ", (str(path), "bold"))


def _say_beside(console: Console, beside: SideFiles) -> None:
    """Says where copies of side files do not make a folder that can be used."""
    if beside.stays:
        say(console, "--copy-side-files has nothing to copy: OUT lies beside MODEL")
    if others := beside.other_models:
        say(console, f"{', '.join(others)}: named in genai_config.json, too, and not copied")
