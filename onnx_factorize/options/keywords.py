"""The options as keywords, for type checkers: what `Options.of` takes, each with its type."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Literal, TypedDict

from ..passes import Kind
from .budget import Budget
from .guarantee import Guarantee
from .images import Layout
from .memory import Memory
from .training import Precision, SVTKind
from .words import (
    Blockwise,
    EffortName,
    Labels,
    MaskMeaning,
    Narrow,
    Prefer,
    Ranks,
    StateOption,
    WrittenAs,
)

__all__ = ["DataKeywords", "OptionKeywords", "SweepKeywords"]


class DataKeywords(TypedDict, total=False):
    """Keywords on how data are read and models run."""

    samples: int
    batch_size: int
    seed: int
    memory: str | float | Memory | None
    runtime: str
    measure: str | None
    provider: str
    threads: int
    custom_ops: str | Sequence[str]
    outputs: Mapping[str, Kind]
    batch_axis: Mapping[str, int | None]
    mask: Mapping[str, MaskMeaning]
    state: StateOption
    image_mean: str | Sequence[float]
    image_std: str | Sequence[float]
    image_layout: Layout | None
    image_size: str | tuple[int, int] | None
    tokenizer: str | os.PathLike[str] | None
    length: int | None


class SweepKeywords(DataKeywords, total=False):
    """Keywords on how a model is compressed, but for its budget."""

    prefer: Prefer | None
    latency_profile: str | Sequence[str]
    weighting: str
    ranks: Ranks
    effort: EffortName
    max_time: float | None
    labels: Labels
    draws: int | None
    rank_multiple: int | None
    form: str
    factors: WrittenAs
    narrow: Narrow
    blockwise: Blockwise
    include: str | Sequence[str]
    exclude: str | Sequence[str]
    op_types: str | Sequence[str]
    op_type: str | Sequence[str]
    deploy_to: str | None
    holdout: float
    finetune: bool
    epochs: int
    learning_rate: float
    lr: float
    label_share: float
    hidden: float
    augment: str | None
    device: str
    precision: Precision
    svt: SVTKind
    checkpoint: str | os.PathLike[str] | None
    quantize: Literal["int8", "int4", "fp16"] | None
    keep_subnormals: bool
    best_effort: bool
    metric: str | None
    statistics: str | os.PathLike[str] | None
    workers: int
    scheduler: str | None


class OptionKeywords(SweepKeywords, total=False):
    """Keywords on how a model is compressed."""

    budget: str | Budget
    max_divergence: float | None
    keep: str | None
    promise: Guarantee | None
