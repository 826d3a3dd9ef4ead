"""Surveys as plain data, so that a file can hold what all parts of a calibration share."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..passes import OutputKind
from .bernoulli import Bernoulli
from .categorical import Categorical
from .distribution import OutputDistribution, Part
from .gaussian import Gaussian
from .shapes import OutputShapes
from .survey import Survey

__all__ = ["as_plain", "from_plain"]

_CLASSES: dict[str, type[OutputDistribution]] = {
    cls.__name__.lower(): cls for cls in (Bernoulli, Categorical, Gaussian)
}

# What JSON has no type for is a list there.
_READ: dict[str, Callable[[Any], Any]] = {
    "kind": lambda value: OutputKind(**value),
    "parts": lambda value: tuple(Part(**part) for part in value),
    "variances": lambda value: np.array(value, np.float64),
    "part_of": lambda value: np.array(value, np.int64),
    "fills": tuple,
}


def as_plain(survey: Survey) -> dict[str, Any]:
    """A survey as JSON can hold it."""
    return {
        "outputs": {name: _output(output) for name, output in survey.outputs.items()},
        "folds": survey.folds.tolist(),
        "shapes": survey.shapes.as_plain(),
    }


def from_plain(plain: Mapping[str, Any]) -> Survey:
    """The survey that `as_plain` gave."""
    outputs: dict[str, OutputDistribution] = {}
    for name, said in plain["outputs"].items():
        fields = {key: _READ.get(key, _same)(value) for key, value in said["fields"].items()}
        outputs[name] = _CLASSES[said["distribution"]](**fields)
    folds = np.array(plain["folds"], np.int64)
    return Survey(outputs, folds, OutputShapes.from_plain(plain["shapes"]))


def _output(output: OutputDistribution) -> dict[str, Any]:
    fields = {}
    for field in dataclasses.fields(output):
        value = getattr(output, field.name)
        if isinstance(value, np.ndarray):
            value = value.tolist()
        elif field.name == "kind":
            value = dataclasses.asdict(value)
        elif field.name == "parts":
            value = [dataclasses.asdict(part) for part in value]
        fields[field.name] = value
    return {"distribution": type(output).__name__.lower(), "fields": fields}


def _same(value: Any) -> Any:
    return value
