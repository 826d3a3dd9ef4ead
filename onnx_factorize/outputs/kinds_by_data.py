"""Kinds of outputs by the data: from what the graph says and the data show to a distribution."""

from __future__ import annotations

import dataclasses

import numpy as np

from ..passes import OutputKind
from .bernoulli import Bernoulli
from .categorical import Categorical
from .distribution import OutputDistribution, Part
from .gaussian import Gaussian
from .labels_seen import LabelsSeen
from .parts import Parts, find_parts
from .seen import OutputSeen
from .selection import BY_USER

__all__ = ["settled"]

# Logits of classes have one scale; columns whose deviations differ by more are other things.
_ALIKE = 10.0

# Predictions from which on it is worth a remark that all are the same.
_MANY = 16

# A range of probabilities in which no event can be told from another.
_STILL = 0.05


def settled(seen: OutputSeen, labels: LabelsSeen) -> OutputDistribution | None:
    """The distribution of an output; None if nothing of it counts.

    Args:
        seen: What the data show of it.
        labels: What the labels that come with the data say of it.
    """
    if not seen.elements or not seen.samples:
        return None
    kind = _kind(seen, labels)
    if kind.kind == "categorical":
        return _categorical(seen, kind)
    if kind.kind == "bernoulli":
        still = seen.highest - seen.lowest < _STILL
        remark = (
            f"its probabilities stay between {seen.lowest:.2g} and {seen.highest:.2g} on these "
            "data, which cannot show whether events are still found"
        )
        part = Part("all", None, seen.elements / seen.samples)
        return Bernoulli(kind, (part,), remark if still else "")
    return _gaussian(seen, kind)


def _kind(seen: OutputSeen, labels: LabelsSeen) -> OutputKind:
    """The kind of an output, where the graph only guesses."""
    kind, classes = seen.kind, seen.classes
    if kind.because == BY_USER:
        return kind
    if classes is not None and classes.classes == 1:
        return OutputKind("gaussian", because="a single score, of which softmax is 1")
    axis = labels.class_axis
    if kind.kind == "gaussian" and axis is not None:
        return OutputKind("categorical", axis, "logit", "the labels")
    if kind.certain or classes is None:
        return kind
    if labels.are_values:
        return OutputKind("gaussian", because="the labels, which are values")
    if axis is not None:
        return dataclasses.replace(kind, certain=True, because="the labels")
    columns = seen.moments.get(-1)
    if columns is not None:
        deviations = np.sqrt(columns.variances)
        if deviations.max() > _ALIKE * deviations.min():
            return OutputKind("gaussian", because="columns of different scales")
    if classes.says_nothing:
        return OutputKind("gaussian", because="values of which softmax sees only the largest")
    return kind


def _categorical(seen: OutputSeen, kind: OutputKind) -> OutputDistribution:
    classes = seen.classes
    if classes is None:
        # What was taken for plain numbers, until the labels told otherwise.
        assert kind.axis is not None
        count = seen.length(kind.axis)
        part = Part("all", None, seen.elements / count / seen.samples)
        return Categorical(kind, (part,), classes=count)
    shift = classes.shift_variance or None
    remark = ""
    if classes.predictions >= _MANY and classes.top.max() == classes.predictions:
        remark = (
            f"its likeliest class is number {classes.top.argmax()} for all of these data, which "
            "cannot show whether others are still told apart"
        )
    part = Part("all", None, classes.predictions / seen.samples)
    guessed = not kind.certain
    return Categorical(kind, (part,), remark, shift if guessed else None, classes.classes)


def _gaussian(seen: OutputSeen, kind: OutputKind) -> OutputDistribution | None:
    found = {axis: find_parts(moments, axis) for axis, moments in seen.moments.items()}
    known = {axis: parts for axis, parts in found.items() if parts is not None}
    axis = max(known, key=lambda a: known[a].spread) if known else None
    fills = tuple(sorted(seen.fills))
    if axis is not None and not _is_one(known[axis]):
        parts = known[axis]
        counts = seen.moments[axis].count / seen.samples
        each = tuple(
            Part(name, deviation, float(counts[parts.part_of == number].sum()))
            for number, (name, deviation) in enumerate(
                zip(parts.names, parts.deviations, strict=True)
            )
        )
        return Gaussian(kind, each, "", axis, parts.variances, parts.part_of, fills)
    if axis is not None:
        variance = known[axis].deviations[0] ** 2
    else:
        variance = float(seen.total.variances[0])
    remark = ""
    largest = max(abs(seen.lowest), abs(seen.highest))
    if not variance > (1e-6 * largest) ** 2:
        remark = "it does not move on these data, which cannot show whether it still would"
        variance = variance or max(largest**2, 1.0)
    part = Part("all", float(np.sqrt(variance)), seen.elements / seen.samples)
    return Gaussian(kind, (part,), remark, None, np.array([variance]), fills=fills)


def _is_one(parts: Parts) -> bool:
    """Tells whether one scale serves all."""
    deviations = np.sqrt(parts.variances)
    return len(parts.names) == 1 and bool(deviations.max() < 2 * deviations.min())
