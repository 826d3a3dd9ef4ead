"""Labels that come with the calibration data, as targets of the shape of the model's output."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ..arrays import AnyArray
from ..calibration import Batch
from ..calibration.inputs.labels import class_numbers, values_of
from ..errors import InputError
from ..passes import OutputKind
from .categorical import one_hot

__all__ = ["check_labels", "labelled_output", "mixed_with_labels"]


def labelled_output(counted: Iterable[str]) -> str:
    """The one output that labels belong to.

    Args:
        counted: The names of the outputs that count.

    Raises:
        InputError: There are several.
    """
    names = list(counted)
    if len(names) != 1:
        raise InputError(
            f"Labels belong to one output, and {len(names)} count "
            f"({', '.join(names)}); leave the others out with --outputs NAME=ignore."
        )
    return names[0]


def check_labels(batch: Batch, kind: OutputKind, shape: tuple[int, ...]) -> AnyArray:
    """Finds out whether the labels of a batch belong to an output, and gives them its shape.

    Args:
        batch: The batch.
        kind: What the output stands for. Labels of a categorical one are class numbers or one-hot;
            a number that is no class, such as -1 or -100, marks what has no label.
        shape: The output's shape.

    Returns:
        Class numbers in that shape without the class axis; else values in that shape.

    Raises:
        InputError: There are no labels, or they do not fit.
    """
    labels = batch.labels
    if labels is None:
        raise InputError(
            "--labels given and --label-share need a key 'label' in the calibration data; "
            f"{batch.origin} has none."
        )
    wanted, found = shape, values_of(labels, shape)
    if kind.kind == "categorical":
        assert kind.axis is not None
        axis = kind.axis % len(shape)
        wanted = (*shape[:axis], *shape[axis + 1 :])
        found = class_numbers(labels, shape, axis)
    if found is None:
        raise InputError(
            f"{batch.origin}: labels of shape {list(labels.shape)} and type {labels.dtype} do not "
            f"fit the output, which wants numbers of shape {list(wanted)}."
        )
    return found


def mixed_with_labels(
    value: AnyArray, labels: AnyArray, kind: OutputKind, share: float
) -> AnyArray:
    """The target of a model in training that has a teacher and the truth.

    The divergence from a mixture of two answers is, but for a constant, the same mixture of the
    divergence from the one and the cross-entropy (or squared error) to the other.

    Args:
        value: What the dense model answers.
        labels: The truth, as `check_labels` gives it. What has no label is left as it is.
        kind: What the output stands for.
        share: The weight of the truth, from 0 to 1.

    Returns:
        The mixture, on the scale of the output.
    """
    if kind.kind != "categorical":
        return np.asarray((1 - share) * value + share * labels, value.dtype)
    assert kind.axis is not None
    axis = kind.axis % value.ndim
    truth = one_hot(labels, axis, value.shape[axis])
    probabilities = value
    if kind.scale != "probability":
        shifted = np.exp(value - value.max(axis=kind.axis, keepdims=True))
        probabilities = shifted / shifted.sum(axis=kind.axis, keepdims=True)
    known = share * truth.sum(axis=kind.axis, keepdims=True)
    mixed = (1 - known) * probabilities + share * truth
    if kind.scale != "probability":
        # Log-probabilities are logits too. What the dense model rules out stays so.
        with np.errstate(divide="ignore"):
            mixed = np.log(mixed)
    return np.asarray(mixed, value.dtype)
