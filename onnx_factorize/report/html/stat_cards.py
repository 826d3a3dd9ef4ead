"""Before and after at a glance."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from ...runtime.interleaved import NOISY, Ratio
from ...units import count, nats, size

__all__ = ["StatCard", "agreement_of", "stat_cards", "time_of", "verdict"]


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
        samples = report["samples"]["holdout"]
        found.append(StatCard("Divergence, nats", nats(holdout), f"{samples} held-out samples"))
    agreement = agreement_of(report)
    if agreement is not None:
        found.append(StatCard("Same top class", f"{agreement:.1%}", "of held-out answers"))
    if report["accuracy"]:
        before, after = report["accuracy"]["dense"], report["accuracy"]["compressed"]
        found.append(StatCard("Accuracy", f"{after:.1%}", f"from {before:.1%}, held out"))
    return found


def verdict(report: Mapping[str, Any]) -> str:
    """The run in one sentence."""
    dense, compressed = report["model"]["dense"], report["model"]["compressed"]
    left = (
        f"{compressed['params'] / dense['params']:.0%} of the parameters and "
        f"{compressed['bytes'] / dense['bytes']:.0%} of the file are left"
    )
    parts = [left]
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
    return f"{', '.join(first)}, and {last}." if first else f"{last}."


def time_of(report: Mapping[str, Any]) -> Ratio | None:
    """The latency as a share of the dense model's; None where it was not measured in pairs."""
    return Ratio.of(report["timing"]) if report.get("timing") else None


def agreement_of(report: Mapping[str, Any]) -> float | None:
    """The share of predictions with the same top class, of the output that agrees least."""
    found = [output["agreement"] for output in report["divergence"]["outputs"].values()]
    known = [value for value in found if value is not None]
    return min(known) if known else None
