"""Measure what a compressed model is like beside its dense one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from .calibration import Batch, CalibrationData
from .divergence import DivergenceSum
from .errors import InputError
from .passes import Kind, OutputKind, RecognizeOutputs
from .promise.quantities import Divergence
from .session import Session

__all__ = ["Agreement", "OutputAgreement", "compare_outputs", "output_kinds", "recognized"]


@dataclasses.dataclass(frozen=True)
class OutputAgreement:
    """How one output compares.

    Attributes:
        kind: What it was taken for.
        divergence: Mean over its predictions, in nats.
        agreement: Share of predictions with the same most likely class, if categorical.
    """

    kind: str
    divergence: float
    agreement: float | None


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How all outputs compare on one split of the data.

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


def output_kinds(model: ir.Model, overrides: Mapping[str, Kind]) -> dict[str, OutputKind]:
    """What each output stands for: recognised from the graph, unless overridden.

    Raises:
        InputError: An override names no output or no kind, or no output counts.
    """
    kinds = recognized(model)
    for name, kind in overrides.items():
        if name not in kinds:
            raise InputError(
                f"--outputs names '{name}', but the model's outputs are {', '.join(kinds)}."
            )
        if kind not in get_args(Kind):
            raise InputError(f"'{kind}' is no kind of output; use {', '.join(get_args(Kind))}.")
        if kinds[name].kind != kind:
            # A categorical output that is not recognised as probabilities holds logits.
            kinds[name] = OutputKind(kind, -1, "logit")
    if all(kind.kind == "ignore" for kind in kinds.values()):
        raise InputError(
            f"All outputs ({', '.join(kinds)}) are ignored, so that nothing could be verified; "
            "give one with real numbers another kind by --outputs NAME=KIND."
        )
    return kinds


def recognized(model: ir.Model) -> dict[str, OutputKind]:
    """What each output is taken for, from the graph alone."""
    recognize = RecognizeOutputs()
    recognize(model)
    return dict(recognize.kinds)


def compare_outputs(
    dense: Session,
    compressed: Session,
    kinds: Mapping[str, OutputKind],
    data: CalibrationData,
    split: str = "holdout",
    limit: int | None = None,
    advance: Callable[[int], None] = lambda _: None,
    *,
    finite: bool = True,
) -> Agreement:
    """Runs both models on a split and compares their outputs.

    Args:
        dense: The dense model.
        compressed: The compressed one, with the same inputs and outputs.
        kinds: What each output stands for.
        data: The calibration data.
        split: `holdout` or `calibration`.
        limit: Stop after so many samples.
        advance: Called after each batch with its number of samples.
        finite: Refuse a compressed model whose outputs are not finite; else its divergence is
            infinite.

    Raises:
        InputError: The compressed model's outputs differ in shape, or are not finite.
    """
    sums = {name: DivergenceSum(kind) for name, kind in kinds.items() if kind.kind != "ignore"}
    labelled = _Accuracy(kinds)
    each = Divergence(kinds) if sums else None
    samples = 0
    for batch in data.batches("holdout" if split == "holdout" else "calibration"):
        p = dense.run(batch.feeds, batch.origin)
        q = compressed.run(batch.feeds, batch.origin)
        mask = batch.mask
        for name, total in sums.items():
            if p[name].shape != q[name].shape:
                raise InputError(
                    f"Output '{name}' has shape {list(p[name].shape)} in one model and "
                    f"{list(q[name].shape)} in the other."
                )
            for model, value in (("dense", p[name]), ("compressed", q[name])):
                if (finite or model == "dense") and not _usable(value, total.kind):
                    raise InputError(
                        f"Output '{name}' of the {model} model is not finite on {batch.where}."
                    )
            total.add(p[name], q[name], mask)
        labelled.add(batch, p, q)
        if each is not None:
            each.add(batch, p, q)
        samples += batch.samples
        advance(batch.samples)
        if limit is not None and samples >= limit:
            break
    outputs = {
        name: OutputAgreement(total.kind.kind, total.value, total.agreement)
        for name, total in sums.items()
    }
    by_sample = None if each is None else each.by_sample()
    if by_sample is not None and len(by_sample) != samples:
        by_sample = None
    return Agreement(outputs, labelled.result(), samples, by_sample)


def _usable(value: npt.NDArray[Any], kind: OutputKind) -> bool:
    """Whether values are finite; minus infinity is the logit of a class that is ruled out."""
    ruled_out = np.isneginf(value) if kind.kind == "categorical" else False
    return bool((np.isfinite(value) | ruled_out).all())


class _Accuracy:
    """Counts right answers of the first categorical output whose predictions fit the labels."""

    def __init__(self, kinds: Mapping[str, OutputKind]) -> None:
        self._names = [name for name, kind in kinds.items() if kind.kind == "categorical"]
        self._kinds = kinds
        self._right = np.zeros(2, np.int64)
        self._count = 0

    def add(
        self, batch: Batch, p: Mapping[str, npt.NDArray[Any]], q: Mapping[str, npt.NDArray[Any]]
    ) -> None:
        if batch.labels is None:
            return
        for name in self._names:
            axis = self._kinds[name].axis
            answers = [outputs[name].argmax(-1 if axis is None else axis) for outputs in (p, q)]
            if answers[0].shape == batch.labels.shape:
                self._right += [int((answer == batch.labels).sum()) for answer in answers]
                self._count += batch.labels.size
                return

    def result(self) -> tuple[float, float] | None:
        if not self._count:
            return None
        return float(self._right[0] / self._count), float(self._right[1] / self._count)
