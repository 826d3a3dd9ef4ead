"""Before and after at a glance."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from ...runtime.interleaved import NOISY, Ratio
from ...uncertainty import share_interval
from ...units import count, nats, size

__all__ = ["StatCard", "agreement_of", "interval_said", "stat_cards", "time_of", "verdict"]


# Below so many nats a prediction, what users will make of it.
_MEANINGS = (
    (0.01, "Practically the same"),
    (0.1, "Close: few will see the difference"),
    (1.0, "Visibly different"),
)


@dataclasses.dataclass(frozen=True)
class StatCard:
    """One figure on a card of its own.

    Attributes:
        label: What it is.
        value: The figure, large.
        detail: What it was before, or how it was measured.
        share: After in percent of before, where that makes sense.
        alarm: Whether it became worse where it should not.
    """

    label: str
    value: str
    detail: str
    share: float | None = None
    alarm: bool = False


def stat_cards(report: Mapping[str, Any]) -> list[StatCard]:
    """The cards of a report."""
    dense, compressed = report["model"]["dense"], report["model"]["compressed"]
    shown: list[tuple[str, str, Callable[[float], str]]] = [
        ("Parameters", "params", count),
        ("File size", "bytes", size),
        ("MACs a sample", "macs", count),
        ("Latency a sample", "latency_ms", "{:.3g} ms".format),
    ]
    found = []
    for label, key, form in shown:
        before, after = dense[key], compressed[key]
        if not before or after is None:
            continue
        ratio, alarm, detail = after / before, False, f"from {form(before)}"
        time = time_of(report) if key == "latency_ms" else None
        if time is not None:
            ratio, alarm = time.median, time.slower
            detail += f", {NOISY}" if time.state == NOISY else ""
        found.append(StatCard(label, form(after), detail, 100 * ratio, alarm))
    holdout = report["divergence"]["holdout"]
    if holdout is not None:
        samples, error = report["samples"]["holdout"], report["divergence"].get("holdout_error")
        said = f"{samples} held-out samples" if error is None else f"± {nats(error)}, n = {samples}"
        found.append(StatCard("Divergence, nats", nats(holdout), said))
    agreement = agreement_of(report)
    if agreement is not None:
        said = f"95%: {interval_said(agreement, report)}"
        found.append(StatCard("Same top class", f"{agreement:.1%}", said))
    if report["accuracy"]:
        before, after = report["accuracy"]["dense"], report["accuracy"]["compressed"]
        said = f"from {before:.1%}; 95%: {interval_said(after, report)}"
        found.append(StatCard("Accuracy", f"{after:.1%}", said))
    metric = report.get("metric")
    if metric:
        said = f"from {metric['dense']:.4g}"
        if metric["error"] is not None:
            error = metric["error"]
            said += f", ± {error:.2g} between them" if error else ", the same on every sample"
        found.append(StatCard(metric["name"], f"{metric['compressed']:.4g}", said))
    return found


def interval_said(share: float, report: Mapping[str, Any]) -> str:
    """The interval of a share of held-out samples, such as `96.2% to 98.9%`."""
    low, high = share_interval(share, max(1, report["samples"]["holdout"]))
    return f"{low:.1%} to {high:.1%}"


def verdict(report: Mapping[str, Any]) -> str:
    """The run in one sentence."""
    dense, compressed = report["model"]["dense"], report["model"]["compressed"]
    left = (
        f"{compressed['params'] / dense['params']:.0%} of the parameters and "
        f"{compressed['bytes'] / dense['bytes']:.0%} of the file are left"
    )
    parts = [left]
    judged = _judged(report["divergence"]["holdout"])
    time = time_of(report)
    if time is not None:
        low, high = time.quartiles
        noise = f": {NOISY}" if time.state == NOISY else ""
        parts.append(
            f"a sample takes {time.median:.2f} times as long ({low:.2f} to {high:.2f} in the "
            f"middle half of {time.rounds} paired runs{noise})"
        )
    agreement = agreement_of(report)
    if agreement is not None:
        parts.append(f"{agreement:.1%} of held-out predictions keep their top class")
    *first, last = parts
    return f"{judged} {', '.join(first)}, and {last}." if first else f"{judged} {last}."


def _judged(divergence: float | None) -> str:
    """What a divergence means, in a sentence."""
    if divergence is None:
        return "Broken: its outputs are not finite on some held-out samples."
    for most, said in _MEANINGS:
        if divergence < most:
            return f"{said}: {nats(divergence)} nats from the dense model on new samples."
    return f"Broken: {nats(divergence)} nats from the dense model on new samples."


def time_of(report: Mapping[str, Any]) -> Ratio | None:
    """The latency as a share of the dense model's; None where it was not measured in pairs."""
    return Ratio.of(report["timing"]) if report.get("timing") else None


def agreement_of(report: Mapping[str, Any]) -> float | None:
    """The share of predictions with the same top class, of the output that agrees least."""
    found = [output["agreement"] for output in report["divergence"]["outputs"].values()]
    known = [value for value in found if value is not None]
    return min(known) if known else None
