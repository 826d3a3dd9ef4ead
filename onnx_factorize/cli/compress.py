"""`onnx-factorize MODEL --calib DATA`: compress, to one budget or to several."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any

import click
from rich.console import Console

from .. import processes
from ..check_options import check_options
from ..errors import BudgetError, InputError
from ..factorization.weightings import weighting_names
from ..files import model_io
from ..notes import notes_of
from ..options import Budget, Options, promised
from ..pipeline import run
from ..report.report_files import write_sweep
from ..sweep import budgets_of, run_sweep, with_suffix
from .console import complain, open_console, say
from .data_options import (
    data_options,
    default_output,
    images_of,
    named_of,
    output_kinds_of,
    output_of,
    runtime_options_of,
    selection_of,
    state_of,
    typed,
)
from .destinations import Destinations
from .encoding import escaped
from .help import help_option
from .kept import expect, expect_checkpoint
from .tables import print_notes, print_report, print_samples, sweep_table
from .training_options import training_of, training_options

__all__ = ["compress_command"]


@click.command("compress")
@click.argument("model", metavar="MODEL", type=click.Path())
@data_options
@click.option(
    "-o",
    "--output",
    type=click.Path(),
    metavar="OUT",
    help="Default: MODEL.factorized.onnx beside MODEL.",
)
@click.option(
    "--budget",
    metavar="KIND=VALUE",
    help="params (of the whole model), targets (of the factorizable operators), macs, bytes or "
    "latency (measured here); up to 1 a fraction of the dense model, else absolute, such as "
    "bytes=12MB or latency=5ms.  "
    "[default: params=0.5]",
)
@click.option(
    "--max-divergence",
    type=float,
    metavar="D",
    help="The smallest model that stays below D nats a prediction on new data (95 % sure).",
)
@click.option(
    "--keep",
    metavar="METRIC=FRACTION",
    help="The smallest model that keeps this share of the dense model's top1 (needs labels), "
    "agreement, cosine, or module:callable(predictions, labels).",
)
@click.option(
    "--prefer",
    metavar="size|latency",
    help="What a promise makes small (default: size). With a budget, latency leaves out cuts that "
    "are slower here than their dense operators, and size does not look; by default they are left "
    "out where the whole model became slower.",
)
@click.option(
    "--weighting",
    default="fisher",
    show_default=True,
    help=f"One of {', '.join(weighting_names())}.",
)
@click.option("--ranks", default="global", show_default=True, help="global or uniform.")
@click.option(
    "--labels",
    default="drawn",
    show_default=True,
    help="drawn by the model itself, or given as `label` with the data.",
)
@click.option("--draws", default=1, show_default=True, help="Labels to draw for each sample.")
@click.option("--rank-multiple", type=int, help="Default: 16, or less in small models.")
@click.option(
    "--form",
    default="auto",
    show_default=True,
    help="How convolutions are cut: channel, input, spatial or tucker; auto buys the best.",
)
@click.option("--include", multiple=True, metavar="REGEX", help="Only nodes with such names.")
@click.option("--exclude", multiple=True, metavar="REGEX", help="No nodes with such names.")
@click.option("--op-type", multiple=True, metavar="T", help="Only this operator; repeatable.")
@click.option("--holdout", default=0.2, show_default=True, help="Share of samples to verify on.")
@click.option(
    "--sweep",
    metavar="LIST",
    help="Several budgets from one calibration, such as 0.9,0.75,0.5, in the unit of --budget; "
    "writes OUT once for each, as OUT.0.5.onnx.",
)
@click.option("--dry-run", is_flag=True, help="Show what would come of it; write nothing.")
@training_options
@click.option(
    "--quantize",
    metavar="BITS",
    help="int8 (dynamic, or static for convolutions) or int4 (weights of MatMul), at the end.",
)
@click.option(
    "--keep-subnormals",
    is_flag=True,
    help="Leave subnormal numbers in the dense model's weights, where they slow processors down; "
    "by default they become 0 where outputs stay equal to the bit on the data.",
)
@click.option("--best-effort", is_flag=True, help="Come as close to the budget as possible.")
@click.option(
    "--report",
    multiple=True,
    type=click.Path(),
    metavar="FILE",
    help="Write what happened: FILE.json or FILE.html.",
)
@click.option("-v", "--verbose", is_flag=True, help="List every operator, with reasons.")
@help_option
def compress_command(model: str, output: str | None, report: tuple[str, ...], **given: Any) -> None:
    """Compress MODEL (the default command)."""
    if given["dry_run"] and given["checkpoint"] is not None:
        raise InputError("--checkpoint writes a file, and --dry-run writes none: leave one out.")
    if processes.rank():  # the first of several writes, and reports
        given |= {"dry_run": True, "quiet": True}
    model_io.check_file(pathlib.Path(model))
    target = output_of(output) if output else default_output(model)
    options = Options(
        budget=Budget.parse(given["budget"]) if given["budget"] else Budget(),
        promise=promised({name: given[name] for name in ("budget", "max_divergence", "keep")}),
        prefer=given["prefer"],
        weighting=given["weighting"],
        ranks=given["ranks"],
        labels=given["labels"],
        draws=given["draws"],
        rank_multiple=given["rank_multiple"],
        form=given["form"],
        include=given["include"],
        exclude=given["exclude"],
        op_types=given["op_type"],
        outputs=output_kinds_of(given),
        batch_axis=named_of(given, "batch_axis", "AXIS"),
        mask=named_of(given, "mask", "MEANING"),
        state=state_of(given),
        selection=selection_of(given, given["holdout"]),
        images=images_of(given),
        runtime=runtime_options_of(given),
        finetune=given["finetune"],
        training=training_of(given),
        keep_subnormals=given["keep_subnormals"],
        quantize=given["quantize"],
        best_effort=given["best_effort"],
    )
    check_options(options)
    reports = [output_of(file) for file in report]
    if given["sweep"] is not None:
        if options.promise is not None:
            raise InputError("Give --sweep or a promise, not both: a promise looks for one budget.")
        _sweep(model, target, reports, options, given)
        return
    checkpoints = options.training.checkpoints
    destinations = Destinations([target], reports, checkpoints)
    destinations.check(pathlib.Path(model), given["calib"], given["custom_ops"])
    expect([target, *reports])
    expect_checkpoint(given["checkpoint"])
    console, progress = open_console(quiet=given["quiet"])
    result = run(model, given["calib"], options, progress)
    result.report.command_line = typed()
    if not given["dry_run"]:
        result.save(target, reports)
    print_report(console, result.report, all_layers=given["verbose"])
    _say_written(console, [] if given["dry_run"] else [target, *reports])


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
    budgets = budgets_of(options.budget.kind, given["sweep"])
    pages = [path for path in reports if path.suffix == ".html"]
    destinations = Destinations(
        [with_suffix(target, budget) for budget in budgets],
        [*(with_suffix(path, budget) for budget in budgets for path in reports), *pages],
    )
    destinations.check(pathlib.Path(model), given["calib"], given["custom_ops"])
    expect(destinations)
    console, progress = open_console(quiet=given["quiet"])
    found, unmet = [], []
    written: list[pathlib.Path] = []
    for budget, result in run_sweep(model, given["calib"], options, budgets, progress):
        if isinstance(result, BudgetError):
            unmet.append(str(result))
            continue
        result.report.command_line = typed()
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
    print_notes(console, notes_of(first.data, first.selection, None, random))
    _say_written(console, written)


def _say_written(console: Console, written: Sequence[pathlib.Path]) -> None:
    if not written:
        say(console, "wrote nothing (--dry-run)")
    for path in written:
        say(console, "wrote ", (str(path), "bold"))
