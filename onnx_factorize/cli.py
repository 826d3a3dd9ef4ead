"""The command line: a thin skin over the Python functions."""

from __future__ import annotations

import json
import logging
import pathlib
import shlex
import sys
from typing import Any

import click
from click.shell_completion import CompletionItem
from rich.console import Console

from . import model_io, processes
from ._version import __version__
from .budget import Budget
from .cli_options import (
    check_outputs,
    data_options,
    default_output,
    images_of,
    output_kinds_of,
    selection_of,
)
from .comparison import compare_several
from .console import (
    ConsoleProgress,
    comparison_table,
    models_table,
    outlook_table,
    print_agreement,
    print_layers,
    print_report,
    sweep_table,
)
from .errors import BudgetError, FactorizeError, InputError
from .inspection import inspect
from .options import Options
from .outlook import BUDGETS
from .pipeline import run
from .progress import Progress
from .promise import promised
from .report_files import write_sweep
from .session import Runtime
from .sweep import budgets_of, run_sweep, with_suffix
from .training_options import training_of, training_options

__all__ = ["main"]


# Commands of the contract that later versions bring.
_TYPED = "onnx_factorize.command_line"

_COMMANDS_NOT_YET = ("moments", "merge")


class _DefaultCommand(click.Group):
    """A group whose first argument may be a model: then the command is `compress`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[_TYPED] = shlex.join(["onnx-factorize", *args])
        own = {"--help", "-h", "--version"}
        if args and args[0] in _COMMANDS_NOT_YET and not pathlib.Path(args[0]).exists():
            raise InputError(f"The command '{args[0]}' is not available in this version.")
        if args and args[0] not in self.commands and args[0] not in own:
            args = ["compress", *args]
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The commands, and files, because a model may come first."""
        return [*super().shell_complete(ctx, incomplete), CompletionItem(incomplete, type="file")]


@click.group(cls=_DefaultCommand, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="onnx-factorize")
def cli() -> None:
    """Compress trained ONNX models by calibrated low-rank factorization.

    \b
    onnx-factorize MODEL --calib DATA [-o OUT]       compress (see: compress --help)
    onnx-factorize inspect MODEL                     what could be compressed, and what not
    onnx-factorize compare DENSE SMALL --calib DATA  two models or more side by side

    \b
    Examples:
      onnx-factorize model.onnx --calib data/
      onnx-factorize model.onnx --calib data.npz --budget bytes=12MB -o small.onnx
      onnx-factorize model.onnx --calib photos/ --budget targets=0.5 --report report.json
    """  # noqa: D301 - click takes a backspace for "keep these lines"


@cli.command("compress")
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
@click.option("--prefer", default="size", show_default=True, help="size or latency.")
@click.option(
    "--weighting",
    default="fisher",
    show_default=True,
    help="fisher, activation, diagonal or none.",
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
@click.option("--best-effort", is_flag=True, help="Come as close to the budget as possible.")
@click.option(
    "--report",
    multiple=True,
    type=click.Path(),
    metavar="FILE",
    help="Write what happened: FILE.json or FILE.html.",
)
@click.option("-v", "--verbose", is_flag=True, help="List every operator, with reasons.")
def compress_command(model: str, output: str | None, report: tuple[str, ...], **given: Any) -> None:
    """Compress MODEL (the default command)."""
    if processes.rank():  # the first of several writes, and reports
        given |= {"dry_run": True, "quiet": True}
    model_io.check_file(pathlib.Path(model))
    target = pathlib.Path(output) if output else default_output(model)
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
        selection=selection_of(given, given["holdout"]),
        images=images_of(given),
        runtime=Runtime(given["provider"], given["threads"]),
        finetune=given["finetune"],
        training=training_of(given),
        quantize=given["quantize"],
        best_effort=given["best_effort"],
    )
    reports = [pathlib.Path(file) for file in report]
    if given["sweep"] is not None:
        if options.promise is not None:
            raise InputError("Give --sweep or a promise, not both: a promise looks for one budget.")
        _sweep(model, target, reports, options, given)
        return
    check_outputs(pathlib.Path(model), target, reports)
    console, progress = _console(given["quiet"])
    result = run(model, given["calib"], options, progress)
    result.report.command_line = click.get_current_context().meta[_TYPED]
    if not given["dry_run"]:
        result.save(target, reports)
    print_report(console, result.report, all_layers=given["verbose"])
    said = "wrote nothing (--dry-run)" if given["dry_run"] else f"wrote [bold]{target}[/]"
    console.print(said, highlight=False, soft_wrap=True)


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
    for budget in budgets:
        own = [with_suffix(path, budget) for path in reports]
        check_outputs(pathlib.Path(model), with_suffix(target, budget), own)
    pages = [path for path in reports if path.suffix == ".html"]
    check_outputs(pathlib.Path(model), target, pages)
    console, progress = _console(given["quiet"])
    found, unmet = [], []
    for budget, result in run_sweep(model, given["calib"], options, budgets, progress):
        if isinstance(result, BudgetError):
            console.print(f"[yellow]skipped:[/] {result}", highlight=False)
            unmet.append(str(result))
            continue
        result.report.command_line = click.get_current_context().meta[_TYPED]
        if not given["dry_run"]:
            result.save(with_suffix(target, budget), [with_suffix(p, budget) for p in reports])
        found.append((budget, result.report))
    console.print(sweep_table([report for _, report in found]))
    if given["dry_run"]:
        return
    for page in pages:
        write_sweep({with_suffix(page, b).name: report for b, report in found}, unmet, page)
    for path in [*(with_suffix(target, budget) for budget, _ in found), *pages]:
        console.print(f"wrote [bold]{path}[/]", highlight=False, soft_wrap=True)


@cli.command("inspect")
@click.argument("model", metavar="MODEL", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def inspect_command(model: str, as_json: bool) -> None:
    """Show what is factorizable in MODEL, what it costs, and what is skipped and why."""
    found = inspect(model)
    if as_json:
        click.echo(json.dumps(found.as_dict(), indent=1))
        return
    console = Console(soft_wrap=False)
    for spec in found.inputs:
        console.print(f"input   {spec}", highlight=False, markup=False)
    for name, kind in found.outputs.items():
        console.print(f"output  {name}: {kind}", highlight=False, markup=False)
    print_layers(console, found.layers)
    if found.history:
        made = f"made by onnx-factorize {found.history.get('version', '')}"
        console.print(f"{made}: {found.history.get('options', '')}", highlight=False, markup=False)
    share = found.target_params / max(1, found.params)
    console.print(
        f"{found.params:,} parameters, {found.target_params:,} of them ({share:.1%}) factorizable; "
        f"opset {found.opset}",
        highlight=False,
    )
    if found.outlook:
        console.print(outlook_table(found.outlook))
        console.print(
            "  ranks alike; what is lost needs data: onnx-factorize MODEL --calib DATA --sweep "
            f"{','.join(map(str, BUDGETS))} --dry-run",
            style="dim",
            highlight=False,
        )


@cli.command("compare")
@click.argument("dense", metavar="DENSE", type=click.Path())
@click.argument("compressed", metavar="COMPRESSED...", type=click.Path(), nargs=-1, required=True)
@data_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def compare_command(dense: str, compressed: tuple[str, ...], as_json: bool, **given: Any) -> None:
    """Show divergence, size, arithmetic and latency of two or more models side by side."""
    console, progress = _console(given["quiet"] or as_json)
    comparisons = compare_several(
        dense,
        compressed,
        given["calib"],
        selection=selection_of(given, 0.0),
        images=images_of(given),
        runtime=Runtime(given["provider"], given["threads"]),
        outputs=output_kinds_of(given),
        progress=progress,
    )
    if as_json:
        several = {"models": [found.as_dict() for found in comparisons]}
        one = comparisons[0].as_dict() if len(comparisons) == 1 else several
        click.echo(json.dumps(one, indent=1))
        return
    if len(comparisons) > 1:
        console.print(models_table(compressed, comparisons))
        return
    found = comparisons[0]
    console.print(comparison_table(found.dense, found.compressed, found.agreement.accuracy))
    print_agreement(console, found.agreement)


def _console(quiet: bool) -> tuple[Console, Progress]:
    """Where tables go, and where progress does (stderr, so that output can be piped)."""
    if quiet:
        return Console(quiet=True), Progress()
    return Console(), ConsoleProgress(Console(stderr=True))


def main() -> None:
    """Runs the command line; errors become one sentence on stderr and an exit code."""
    # What it warns of is checked when a model is read, and then is one sentence of ours.
    logging.getLogger("onnx_ir").setLevel(logging.ERROR)
    try:
        cli.main(standalone_mode=False)
    except FactorizeError as error:
        click.echo(f"onnx-factorize: {error}", err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        click.echo(f"onnx-factorize: {error.format_message()}", err=True)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("onnx-factorize: interrupted; nothing was written.", err=True)
        sys.exit(130)
    except MemoryError:
        click.echo("onnx-factorize: out of memory; try a smaller --batch-size.", err=True)
        sys.exit(1)
