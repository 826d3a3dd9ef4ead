"""Survey of the dense model on the data: the kind of each output, and which samples are alike."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from ..calibration import CalibrationData
from ..calibration.folds import deal
from ..errors import InputError
from ..options import FOLDS, Labels
from ..passes import OutputKind
from ..runtime.session import Session
from .categorical import class_axis
from .distribution import OutputDistribution
from .given_labels import check_labels, labelled_output
from .kinds_by_data import settled
from .kinds_by_graph import counted
from .labels_seen import LabelsSeen
from .sample_embeddings import signature
from .seen import OutputSeen
from .shapes import OutputShapes

__all__ = ["SURVEYED", "Survey", "survey"]

# Samples that settle what the outputs are like.
SURVEYED = 1024


@dataclasses.dataclass(frozen=True)
class Survey:
    """The dense model's outputs on the calibration data.

    Attributes:
        outputs: Output name to its distribution; those that do not count are left out.
        folds: The fold of each calibration sample, shape (samples,); see `folds`.
        shapes: The shapes of outputs, by those of what is fed.
    """

    outputs: dict[str, OutputDistribution]
    folds: npt.NDArray[np.int64]
    shapes: OutputShapes


def survey(
    session: Session,
    kinds: Mapping[str, OutputKind],
    data: CalibrationData,
    seed: int = 0,
    advance: Callable[[int], None] = lambda _: None,
    *,
    labels: Labels = "drawn",
    folds: int = FOLDS,
) -> Survey:
    """Runs the dense model over calibration samples, so many that they stand for all.

    A sample that is left out takes the fold of the last one before it: what is alike is mostly
    adjacent.

    Args:
        session: The dense model, with at least the outputs that count.
        kinds: What the graph, or the user, says of each output.
        data: The calibration data.
        seed: Seed of the dealing.
        advance: Called after each batch with its number of samples.
        labels: Where labels come from: `drawn` by the model, or `given` with the data; then all
            samples are looked at, and their labels checked.
        folds: How many folds to deal the samples to.

    Raises:
        InputError: An output is not finite, none counts, or labels are to be given and do not fit.
    """
    wanted = counted(kinds)
    labelled = labelled_output(wanted) if labels == "given" else None
    seen: dict[str, OutputSeen] = {}
    told = {name: LabelsSeen() for name in wanted}
    shapes = OutputShapes(wanted)
    only = data.some(SURVEYED if labelled is None else data.calibration_samples)
    samples = 0
    signatures: list[npt.NDArray[np.float32] | None] = []
    for batch in data.micro_batches("calibration", only):
        values = session.run(batch.feeds, batch.origin)
        shapes.learn(batch, values)
        for name, kind in wanted.items():
            value = values[name]
            if name not in seen:
                seen[name] = OutputSeen(_with_axis(kind, value))
            if name == labelled:
                check_labels(batch, seen[name].kind, value.shape)
            seen[name].add(value, batch.samples, batch.mask, batch.where)
            told[name].add(value, batch.labels)
        samples += batch.samples
        known_kinds = {name: each.kind for name, each in seen.items()}
        signatures.append(signature(values, known_kinds, batch.samples, batch.mask))
        del values, value  # before the next batch runs
        advance(batch.samples)
    found = {name: settled(each, told[name]) for name, each in seen.items()}
    outputs = {name: output for name, output in found.items() if output is not None}
    if not outputs:
        raise InputError(
            "No output holds any numbers on the calibration data, so nothing could be verified."
        )
    dealt = deal(_joined(signatures), samples, seed, folds)
    # The first sample is always among those chosen.
    return Survey(outputs, dealt[np.cumsum(only) - 1], shapes)


def _joined(
    signatures: Sequence[npt.NDArray[np.float32] | None],
) -> npt.NDArray[np.float32] | None:
    """The signatures of all batches, shape (samples, length); None where they do not compare."""
    known = [each for each in signatures if each is not None]
    alike = len({each.shape[1] for each in known}) == 1 and len(known) == len(signatures)
    return np.concatenate(known) if alike else None


def _with_axis(kind: OutputKind, value: npt.NDArray[np.generic]) -> OutputKind:
    """The kind with its class axis, looked for where the graph is silent."""
    if kind.kind != "categorical":
        return kind
    if value.ndim == 0:
        return OutputKind("gaussian", because="a single score")
    axis = class_axis(value) if kind.axis is None else kind.axis
    return dataclasses.replace(kind, axis=axis)
