"""Labels that come with the calibration data, as targets of the shape of the model's output."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from .calibration import Batch
from .errors import InputError
from .passes import OutputKind

__all__ = ["Labels", "check_labels", "fed_labels", "labelled_output"]

Array = npt.NDArray[Any]

# Where labels come from: the model draws them, or the calibration data hold them.
Labels = Literal["drawn", "given"]


def labelled_output(kinds: Mapping[str, OutputKind]) -> str:
    """The one output that labels belong to.

    Raises:
        InputError: There are several.
    """
    names = [name for name, kind in kinds.items() if kind.kind != "ignore"]
    if len(names) != 1:
        raise InputError(
            f"--labels given needs one output that the labels belong to, and {len(names)} count "
            f"({', '.join(names)}); leave the others out with --outputs NAME=ignore."
        )
    return names[0]


def check_labels(batch: Batch, kind: OutputKind, shape: tuple[int, ...]) -> None:
    """Finds out whether the labels of a batch belong to an output.

    Args:
        batch: The batch.
        kind: What the output stands for. Labels of a categorical one are class numbers, without
            the class axis; a number that is no class, such as -1, marks what has no label.
        shape: The output's shape.

    Raises:
        InputError: There are no labels, or they do not fit.
    """
    labels = batch.labels
    if labels is None:
        raise InputError(
            f"--labels given needs a key 'label' in the calibration data; {batch.origin} has none."
        )
    wanted = shape
    if kind.kind == "categorical":
        assert kind.axis is not None
        axis = kind.axis % len(shape)
        wanted = (*shape[:axis], *shape[axis + 1 :])
    if labels.shape != wanted or labels.dtype.kind not in "biuf":
        raise InputError(
            f"{batch.origin}: labels of shape {list(labels.shape)} and type {labels.dtype} do not "
            f"fit the output, which wants numbers of shape {list(wanted)}."
        )


def fed_labels(labels: Array, kind: OutputKind, classes: int) -> npt.NDArray[np.float32]:
    """Labels in the shape of their output.

    Args:
        labels: As `check_labels` wants them.
        kind: What the output stands for.
        classes: Its number of classes, if it is categorical.

    Returns:
        One at the right class and zero elsewhere; or the labels themselves.
    """
    if kind.kind != "categorical":
        return labels.astype(np.float32)
    assert kind.axis is not None
    axis = kind.axis % (labels.ndim + 1)
    numbers = np.arange(classes).reshape(-1, *(1,) * (labels.ndim - axis))
    return np.asarray(np.expand_dims(labels, axis) == numbers, np.float32)
