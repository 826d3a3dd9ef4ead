"""The report of a run as data: the contents of `--report FILE.json`."""

from __future__ import annotations

import dataclasses
import json
import math
import platform
import sys
from importlib import metadata
from typing import Any

from .._version import __version__
from ..allocation.model_costs import Figures
from ..passes import Skipped

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

__all__ = ["SCHEMA", "Layer", "Report", "peak_rss_mb", "versions"]

SCHEMA = "onnx-factorize/report/1"


@dataclasses.dataclass
class Layer:
    """The outcome for one linear operator.

    Attributes:
        name: The node's name.
        op_type: Its operator.
        form: How it was rewritten, None if it was not.
        rank: The rank it was given, None if it was not factorized.
        full_rank: The largest that it could have.
        params: Weights before and after.
        macs: Multiplications for one sample, before and after; None where not counted.
        loss: Predicted loss, in the weighting's unit.
        status: `factorized`, `narrowed` (with fewer channels), `kept` (dense, by choice) or
            `skipped` (not a target).
        reason: Why it was kept or skipped.
        ms: Its latency alone, before and after; None where it was not timed.
        curve: Some ranks with the loss predicted for a cut there, from rank 0 to the full one.
        spectrum: Some indices from 0 with σ² of the directions that were cut, as a share of
            their sum.
        module: The module that it was exported from, where the exporter says so.
    """

    name: str
    op_type: str
    form: str | None
    rank: int | None
    full_rank: int | None
    params: tuple[int, int]
    macs: tuple[int, int] | None
    loss: float | None
    status: str
    reason: str | None = None
    ms: tuple[float, float] | None = None
    curve: list[tuple[int, float]] | None = None
    spectrum: list[tuple[int, float]] | None = None
    module: str | None = None

    @classmethod
    def skipped(cls, skip: Skipped) -> Layer:
        """A linear operator that is no target."""
        params = (skip.params, skip.params)
        return cls(
            name=skip.name,
            op_type=skip.op_type,
            form=None,
            rank=None,
            full_rank=None,
            params=params,
            macs=None,
            loss=None,
            status="skipped",
            reason=skip.reason,
            module=skip.module,
        )


@dataclasses.dataclass
class Report:
    """A whole run. The keys of its JSON are a contract: see docs/reference/report.md.

    Attributes:
        command: The options that made it.
        model: `dense` and `compressed`.
        divergence: `predicted`, `ratio`, `calibration`, `holdout`, `outputs` and others.
        layers: Every target in graph order, then every operator that was skipped.
        seconds: Time of each stage.
        warnings: What the user should know, one sentence each.
        accuracy: Share of held-out labels predicted by each model, if there are labels.
        samples: Number of samples calibrated and verified on.
        finetune: What became of fine-tuning, if it was asked for.
        promise: What was guaranteed, and how it is kept; None without a guarantee.
        latency: How a budget of time was met (see `goals.latency_budget`); None without one.
        timing: How its latency compares with the dense model's (see `runtime.interleaved`).
        quantization: How it was quantized, and what it was before, if that was asked for.
        subnormals: What became of subnormal weights; None where the dense model has none.
        data: How the data were read: where samples are in the inputs (`batch_axis`), and what is
            padding (`mask`).
        random: The random `nodes` of the model, and whether onnxruntime `runs` them here; None
            where it has none.
        stream: How the result does along the data with the states that it gives itself; None where
            outputs feed no inputs.
        selection: Outputs `behind` a selection, and the values `entering` it; None where there are
            none.
        caches: The `outputs` that only feed caches, and do not count; None where there are none.
        channels: Groups of channels between operators (see `report.channel_rows`); empty where they
            were not looked for.
        metric: The user's own metric: see `goals.quantities.own_metric`; None without one.
        rewritten: The graph around one operator: see `report.graph_pieces`; None where nothing was
            factorized.
        command_line: What was typed, if the command line made it.
        config: The options that were given there, by their names, as `--config` takes them.

    Example:
        >>> import onnx_factorize
        >>> result = onnx_factorize.factorize("model.onnx", "data.npz", weighting="none", threads=1)
        >>> report: onnx_factorize.Report = result.report
        >>> [(layer.name, layer.status) for layer in report.layers]
        [('first', 'factorized'), ('second', 'kept')]
        >>> sorted(report.samples)
        ['calibration', 'holdout']
    """

    command: dict[str, Any]
    model: dict[str, Figures]
    divergence: dict[str, Any]
    layers: list[Layer]
    seconds: dict[str, float]
    warnings: list[str]
    accuracy: dict[str, float] | None
    samples: dict[str, int]
    finetune: dict[str, Any] | None = None
    promise: dict[str, Any] | None = None
    latency: dict[str, Any] | None = None
    timing: dict[str, Any] | None = None
    quantization: dict[str, Any] | None = None
    subnormals: dict[str, Any] | None = None
    random: dict[str, Any] | None = None
    data: dict[str, Any] = dataclasses.field(default_factory=dict)
    stream: dict[str, Any] | None = None
    selection: dict[str, Any] | None = None
    caches: dict[str, Any] | None = None
    channels: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    metric: dict[str, Any] | None = None
    rewritten: dict[str, Any] | None = None
    command_line: str | None = None
    config: dict[str, Any] | None = None

    def as_dict(self) -> dict[str, Any]:
        """The report as plain data."""
        return {
            "schema": SCHEMA,
            "tool": {"name": "onnx-factorize", "version": __version__},
            **dataclasses.asdict(self),
            "peak_rss_mb": peak_rss_mb(),
            "versions": versions(),
        }

    def as_json(self) -> str:
        """The report as JSON; numbers that are not finite become null."""
        return json.dumps(self.as_plain(), indent=1, allow_nan=False) + "\n"

    def as_plain(self) -> dict[str, Any]:
        """The contents of the JSON; numbers that are not finite are None."""
        plain: dict[str, Any] = _finite(self.as_dict())
        return plain


def peak_rss_mb() -> float | None:
    """The largest resident memory that this process has had, in MB; None where unknown."""
    if resource is None:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6, 1)


def versions() -> dict[str, str]:
    """Versions of what the result depends on."""
    packages = ("numpy", "onnx", "onnx-ir", "onnxruntime")
    return {"python": platform.python_version(), **{p: metadata.version(p) for p in packages}}


def _finite(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data
