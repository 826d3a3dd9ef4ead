"""Comparison of a compressed model with its dense one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from ..arrays import NamedArrays
from ..calibration import Batch, CalibrationData
from ..calibration.inputs.labels import NO_LABEL, class_numbers
from ..errors import InputError
from ..outputs import Categorical, OutputDistribution
from ..runtime.session import Session
from .divergences import Divergences
from .evaluate import Metric, evaluate

__all__ = ["Agreement", "OutputAgreement", "compare_outputs"]


@dataclasses.dataclass(frozen=True)
class OutputAgreement:
    """The comparison of one output.

    Attributes:
        kind: What it was taken for.
        divergence: Mean over its predictions, and then over its parts, in nats.
        agreement: Share of predictions with the same most likely class, if categorical.
        parts: The name of each part to its divergence; empty where there is only one.
        because: What it was taken for that kind by.
        guess: Whether that is no evidence.
        remark: What a user should know of it; empty if nothing.
    """

    kind: str
    divergence: float
    agreement: float | None
    parts: dict[str, float] = dataclasses.field(default_factory=dict)
    because: str = ""
    guess: bool = False
    remark: str = ""

    @classmethod
    def of(cls, name: str, found: Divergences) -> OutputAgreement:
        """The comparison of one output, from what was added."""
        output, total = found.outputs[name], found.totals[name]
        parts = {}
        if len(output.parts) > 1:
            each = zip(output.parts, total.by_part, strict=True)
            parts = {part.name: float(divergence) for part, divergence in each}
        return cls(
            output.kind.kind,
            total.divergence,
            total.agreement,
            parts,
            output.kind.because,
            not output.kind.certain,
            output.remark,
        )


@dataclasses.dataclass(frozen=True)
class Agreement:
    """The comparison of all outputs on one split of the data.

    Attributes:
        outputs: Output name to agreement.
        accuracy: Share of labels that the dense and the compressed model predict, where the data
            have labels for a categorical output; else None.
        samples: Samples compared.
        by_sample: The divergence of each, shape (samples,), summed over outputs; None where some
            output has no row for each sample.
    """

    outputs: dict[str, OutputAgreement]
    accuracy: tuple[float, float] | None
    samples: int
    by_sample: npt.NDArray[np.float64] | None = None

    @property
    def divergence(self) -> float:
        """Sum of the outputs' divergences."""
        return sum(output.divergence for output in self.outputs.values())


def compare_outputs(
    dense: Session,
    compressed: Session,
    outputs: Mapping[str, OutputDistribution],
    data: CalibrationData,
    split: str = "holdout",
    limit: int | None = None,
    advance: Callable[[int], None] = lambda _: None,
    *,
    finite: bool = True,
    also: Sequence[Metric] = (),
) -> Agreement:
    """Runs both models on a split and compares their outputs.

    Args:
        dense: The dense model.
        compressed: The compressed one, with the same inputs and outputs.
        outputs: What each output stands for.
        data: The calibration data.
        split: `holdout` or `calibration`.
        limit: Stop after so many samples.
        advance: Called after each batch with its number of samples.
        finite: Refuse a compressed model whose outputs are not finite; else its divergence is
            infinite.
        also: What else reduces the answers.

    Raises:
        InputError: The compressed model's outputs differ in shape, or a model's are not finite.
    """
    found, labelled = Divergences(outputs), _Accuracy(outputs)
    checks = [_Finite(outputs, compressed=finite)]
    samples = evaluate(
        data.micro_batches("holdout" if split == "holdout" else "calibration"),
        lambda batch: dense.run(batch.feeds, batch.origin),
        lambda batch: compressed.run(batch.feeds, batch.origin),
        *checks,
        found,
        labelled,
        *also,
        limit=limit,
        advance=advance,
    )
    return Agreement(
        {name: OutputAgreement.of(name, found) for name in found.totals},
        labelled.result(),
        samples,
        found.by_sample(),
    )


class _Finite:
    """Refuses what is not a number; infinity is what some models put where nothing is."""

    def __init__(self, names: Mapping[str, object], *, compressed: bool) -> None:
        self._names, self._compressed = list(names), compressed

    def add(self, batch: Batch, dense: NamedArrays, compressed: NamedArrays) -> None:
        for name in self._names:
            bad = np.isnan(dense[name])
            if not bad.any() and self._compressed and dense[name].shape == compressed[name].shape:
                bad = ~np.isfinite(compressed[name]) & np.isfinite(dense[name])
                model = "compressed"
            else:
                model = "dense"
            if bad.any():
                raise InputError(
                    f"Output '{name}' of the {model} model is not finite on {batch.where}."
                )


class _Accuracy:
    """Counts right answers of the first categorical output whose predictions fit the labels."""

    def __init__(self, outputs: Mapping[str, OutputDistribution]) -> None:
        self._axes = {n: o.axis for n, o in outputs.items() if isinstance(o, Categorical)}
        self._right = np.zeros(2, np.int64)
        self._count = 0

    def add(self, batch: Batch, dense: NamedArrays, compressed: NamedArrays) -> None:
        if batch.labels is None:
            return
        for name, axis in self._axes.items():
            labels = class_numbers(batch.labels, dense[name].shape, axis)
            if labels is not None:
                answers = [answer[name].argmax(axis) for answer in (dense, compressed)]
                # What has no label has a number that is no class.
                self._right += [int((answer == labels).sum()) for answer in answers]
                self._count += int((labels != NO_LABEL).sum())
                return

    def result(self) -> tuple[float, float] | None:
        if not self._count:
            return None
        return float(self._right[0] / self._count), float(self._right[1] / self._count)
