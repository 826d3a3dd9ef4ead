"""Tables that the command line prints when it is done."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..allocation.model_costs import Figures
from ..evaluation import Agreement
from ..goals.quantities import quantity_of
from ..notes import CHANGED, notes_of, stream_said
from ..report.comparison import Comparison
from ..report.outlook import Outlook
from ..report.report import Report
from ..runtime.interleaved import NOISY, Ratio
from ..units import count, size
from .console import say
from .encoding import escaped
from .layers_table import print_layers, print_unit

__all__ = [
    "comparison_table",
    "models_table",
    "outlook_table",
    "print_agreement",
    "print_notes",
    "print_report",
    "print_samples",
    "print_time",
    "sweep_table",
]


def print_report(console: Console, report: Report, *, all_layers: bool = False) -> None:
    """Prints before and after side by side, the divergence, and the layers."""
    accuracy = report.accuracy
    pair = None if accuracy is None else (accuracy["dense"], accuracy["compressed"])
    dense, compressed = report.model["dense"], report.model["compressed"]
    timing = report.timing
    ratio = None if timing is None else Ratio.of(timing)
    console.print(comparison_table(dense, compressed, pair, held_out=True, time=ratio))
    if ratio is not None:
        print_time(console, ratio)
    print_samples(console, report.samples["holdout"])
    for name, output in report.divergence["outputs"].items():
        _print_output(console, name, output["holdout"], output)
    stream = stream_said(report.stream, report.divergence["holdout"])
    random = None if report.random is None else report.random["nodes"]
    print_notes(console, notes_of(report.data, report.selection, report.caches, stream, random))
    if report.metric is not None:
        _print_metric(console, report.metric)
    if report.promise is not None:
        _print_guarantee(console, report.promise)
    if report.finetune is not None:
        _print_recovery(console, report.finetune)
    if report.latency is not None:
        say(console, _latency_said(report.latency))
    if report.quantization is not None:
        chosen = report.quantization["weights"] or report.quantization["rounding"]
        say(console, f"  {chosen['said']}")
    if report.subnormals is not None:
        say(console, f"  {report.subnormals['said']}")
    _print_layers(console, report, all_layers=all_layers)
    for warning in report.warnings:
        say(console, ("warning:", "yellow"), f" {warning}")


def _print_layers(console: Console, report: Report, *, all_layers: bool) -> None:
    factorized = [layer for layer in report.layers if layer.status in CHANGED]
    console.print()
    print_layers(console, report.layers if all_layers else factorized)
    print_unit(console, report.divergence, factorized)
    if not all_layers:
        stay_dense = sum(layer.status == "kept" for layer in report.layers)
        skipped = sum(layer.status == "skipped" for layer in report.layers)
        narrowed = sum(layer.status == "narrowed" for layer in factorized)
        said = f"  {len(factorized) - narrowed} factorized, "
        said += f"{narrowed} narrowed, " if narrowed else ""
        said += f"{stay_dense} kept dense, {skipped} skipped "
        say(console, (f"{said}(-v lists them with the reasons)", "dim"))


def _print_metric(console: Console, found: Mapping[str, Any]) -> None:
    dense, own, error = found["dense"], found["compressed"], found["error"]
    said = f"  {found['name']}: {dense:.4g} → {own:.4g}, {own - dense:+.2g}"
    if error is not None:
        said += f" (± {error:.2g}, the standard error)" if error else " (on every sample)"
    say(console, said)


def _latency_said(met: Mapping[str, Any]) -> str:
    """How a budget of time was met."""
    said = f"  latency: asked {met['asked']:.3f} of the dense model's, "
    said += f"{met['predicted']:.3f} predicted from its operators, "
    if met["measured"] is not None:
        return f"{said}{met['measured']:.3f} measured"
    device = met["profile"]["device"]
    return f"{said}to be measured on {device}: onnx-factorize latency-kit --verify"


def _print_recovery(console: Console, found: dict[str, Any]) -> None:
    before, after, best = found["before"], found["after"], found["best"]
    said = f"epoch {best} of {len(found['epochs'])} was the best" if best else "nothing was gained"
    gain = f"divergence {before:.4g} -> {after:.4g} on samples not trained on"
    say(console, f"fine-tuned: {gain}; {said}")


def outlook_table(found: Sequence[Outlook]) -> Table:
    """A row a budget: what it would leave of a model."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("budget", "params", "size, about", "MACs", "operators cut"):
        table.add_column(heading, justify="left" if heading == "budget" else "right", no_wrap=True)
    for row in found:
        if row.params is None or row.bytes is None:
            table.add_row(row.budget, Text("cannot be met", style="dim"))
            continue
        macs = "" if row.macs is None else count(row.macs)
        table.add_row(row.budget, count(row.params), size(row.bytes), macs, str(row.cut))
    return table


def sweep_table(reports: Sequence[Report]) -> Table:
    """A row a budget, from the first to the last that was met."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    headings = ["budget", "params", "size", "latency", "divergence", "agreement"]
    labelled = any(report.accuracy for report in reports)
    for heading in [*headings, "accuracy"] if labelled else headings:
        table.add_column(heading, justify="left" if heading == "budget" else "right", no_wrap=True)
    for report in reports:
        dense, small = report.model["dense"], report.model["compressed"]
        outputs = report.divergence["outputs"].values()
        agreements = [o["agreement"] for o in outputs if o["agreement"] is not None]
        latency = "" if report.timing is None else _times(Ratio.of(report.timing))
        row = [
            str(report.command["budget"]),
            f"{small.params / dense.params:.3f} x",
            size(small.bytes),
            latency,
            f"{report.divergence['holdout']:.3g}",
            f"{agreements[0]:.1%}" if agreements else "",
        ]
        if labelled:
            row.append(f"{report.accuracy['compressed']:.3f}" if report.accuracy else "")
        table.add_row(*row)
    return table


def print_agreement(console: Console, agreement: Agreement) -> None:
    """Prints how the outputs of two models compare."""
    print_samples(console, agreement.samples)
    for name, output in agreement.outputs.items():
        _print_output(console, name, output.divergence, dataclasses.asdict(output))


def print_time(console: Console, ratio: Ratio, name: str = "") -> None:
    """Prints how the latencies of two models compare, and how surely."""
    say(console, (f"  {name}latency {ratio.sentence()}", "dim"))


def _times(ratio: Ratio) -> str:
    """A ratio where there is little room."""
    return f"{ratio.median:.2f} x{' ?' if ratio.state == NOISY else ''}"


def print_samples(console: Console, samples: int) -> None:
    """Prints how many samples are behind the figures."""
    say(console, (f"  measured on n={samples:,} samples", "dim"))


def print_notes(console: Console, notes: Sequence[str]) -> None:
    """Says how the data were read and the model treated, where that is not plain."""
    for note in notes:
        say(console, f"  {note}")


def _print_output(
    console: Console, name: str, divergence: float, output: Mapping[str, Any]
) -> None:
    """Prints what an output was taken for, and how it compares."""
    because = output["because"] or "the graph"
    if output["guess"]:
        because = f"a guess from {because}; --outputs settles it"
    line = f" ({output['kind']}, by {because}): "
    line += f"divergence {divergence:.4g} nats a prediction"
    if output["agreement"] is not None and not output["remark"]:
        line += f", same top class in {output['agreement']:.1%}"
    say(console, "  output ", (name, "bold"), line)
    if output["parts"]:
        each = "; ".join(f"{part} {found:.4g}" for part, found in output["parts"].items())
        say(console, (f"    mean of {len(output['parts'])} parts: {each}", "dim"))
    if output["remark"]:
        say(console, "    ", ("note:", "yellow"), f" {output['remark']}")


def _print_guarantee(console: Console, guarantee: Mapping[str, Any]) -> None:
    quantity = quantity_of(guarantee["metric"])
    side = "above" if quantity.share else "below"
    say(
        console,
        "  ",
        ("guarantee" if guarantee["kept"] else "broken guarantee", "bold"),
        f": {quantity.title(guarantee['metric'])} {side} {guarantee['asked']:g} on new data; "
        f"{guarantee['measured']:.4g} on {guarantee['samples']} held-out samples, so "
        f"{side} {guarantee['bound']:.4g} with "
        f"{guarantee['confidence']:.0%} confidence "
        f"({guarantee['measurements']} measurements; --budget {guarantee['budget']})",
    )


def comparison_table(
    dense: Figures,
    compressed: Figures,
    accuracy: tuple[float, float] | None = None,
    *,
    held_out: bool = False,
    time: Ratio | None = None,
) -> Table:
    """Two columns, as onnxslim prints them, and their ratio."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("")
    for heading in ("dense", "compressed", "ratio"):
        table.add_column(heading, justify="right")
    rows: list[tuple[str, float | None, float | None, Callable[[float], str]]] = [
        ("parameters", dense.params, compressed.params, count),
        ("file size", dense.bytes, compressed.bytes, size),
        ("MACs of a sample", dense.macs, compressed.macs, count),
        ("latency of a sample", dense.latency_ms, compressed.latency_ms, "{:.3g} ms".format),
    ]
    for name, a, b, form in rows:
        if a is not None and b:  # what is quantized is not counted
            ratio = f"{b / a:.3f}" if a else ""
            if time is not None and name == "latency of a sample":
                ratio = f"{time.median:.3f}{' ?' if time.state == NOISY else ''}"
            table.add_row(name, form(a), form(b), ratio)
    if accuracy is not None:
        before, after = accuracy
        name = "accuracy, held out" if held_out else "accuracy"
        table.add_row(name, f"{before:.3f}", f"{after:.3f}", f"{after - before:+.3f}")
    return table


def models_table(names: Sequence[str], comparisons: Sequence[Comparison]) -> Table:
    """A row a model, the dense one first."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("model", overflow="fold")
    labelled = any(found.agreement.accuracy for found in comparisons)
    headings = ["size", "", "latency", "", "divergence", "same class"]
    for heading in [*headings, "accuracy"] if labelled else headings:
        table.add_column(heading, justify="right", no_wrap=True)
    dense, accuracy = comparisons[0].dense, comparisons[0].agreement.accuracy
    table.add_row(
        Text(escaped(dense.file or "dense")), size(dense.bytes), "", _ms(dense), "", "", "",
        *([f"{accuracy[0]:.3f}"] if accuracy else []),
    )  # fmt: skip
    for name, found in zip(names, comparisons, strict=True):
        own, agreement = found.compressed, found.agreement
        same = [o.agreement for o in agreement.outputs.values() if o.agreement is not None]
        table.add_row(
            Text(escaped(own.file or name)),
            size(own.bytes),
            f"{own.bytes / dense.bytes:.2f} x",
            _ms(own),
            _times(found.time),
            f"{agreement.divergence:.3g}",
            f"{min(same):.1%}" if same else "",
            *([f"{agreement.accuracy[1]:.3f}"] if agreement.accuracy else []),
        )
    return table


def _ms(figures: Figures) -> str:
    return "" if figures.latency_ms is None else f"{figures.latency_ms:.3g} ms"
