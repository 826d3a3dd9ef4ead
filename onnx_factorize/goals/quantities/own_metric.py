"""`--keep module:callable=FRACTION`: a metric of the user's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from ...arrays import NamedArrays
from ...calibration import Batch
from ...errors import InputError
from ...foreign import user_code
from ...uncertainty import standard_error
from ...user_code import imported
from .confidence import Estimate, ratio
from .quantity import Outputs, Quantity
from .registry import register

__all__ = ["OwnMetric"]

# Groups that are left out in turn where the metric is one number for all samples.
_GROUPS = 20


@register
class OwnMetric(Quantity):
    """The compressed model's metric over the dense model's.

    The callable takes the predictions and the labels of all held-out samples: arrays of shape
    (samples, …), or lists of one array a sample where shapes differ; predictions are a dictionary
    by name where several outputs count, labels are None where the data have none. It returns a
    number, or one for each sample, whose mean counts; more is better.
    """

    name = "module:callable"

    @classmethod
    def takes(cls, metric: str) -> bool:
        """Tells whether a metric is the name of a callable."""
        return ":" in metric

    @classmethod
    def of(cls, metric: str, outputs: Outputs) -> OwnMetric:
        """The quantity of a metric: see `Quantity`."""
        return cls(outputs, metric)

    def __init__(self, outputs: Outputs, name: str = "", option: str = "--keep") -> None:
        """Finds the callable `module:callable`.

        Args:
            outputs: What each output stands for.
            name: The name of the callable.
            option: The option that names it, for messages.

        Raises:
            InputError: There is none.
        """
        self._name, self._option = name, option
        self._metric: Callable[..., Any] = imported(name, option)
        self._outputs = list(outputs)
        self._dense: list[NamedArrays] = []
        self._compressed: list[NamedArrays] = []
        self._labels: list[npt.NDArray[Any] | None] = []

    def add(self, batch: Batch, dense: NamedArrays, compressed: NamedArrays) -> None:
        """Adds the outputs of one batch."""
        batched = all(
            dense[n].ndim and dense[n].shape[0] == batch.samples for n in self._outputs
        ) and (batch.labels is None or len(batch.labels) == batch.samples)
        for row in range(batch.samples if batched else 1):
            for rows, outputs in ((self._dense, dense), (self._compressed, compressed)):
                rows.append({n: outputs[n][row] if batched else outputs[n] for n in self._outputs})
            labels = batch.labels
            self._labels.append(labels if labels is None or not batched else labels[row])

    def estimate(self) -> Estimate:
        """The share of the dense model's metric that is left.

        Raises:
            InputError: The callable raises, or returns no usable number.
        """
        everything = np.arange(len(self._labels))
        scores = [self._score(rows, everything) for rows in (self._compressed, self._dense)]
        if not scores[1].sum() > 0:
            raise InputError(
                f"{self._option} {self._name} gives the dense model {scores[1].mean():.3g}, of "
                "which no share can be kept; the metric must be above zero, and more of it better."
            )
        if all(score.ndim == 1 for score in scores):
            return ratio(scores[0], scores[1], None)
        return self._jackknife(float(scores[0]) / float(scores[1]), everything)

    def figures(self) -> dict[str, Any]:
        """The metric of both models, on its own scale.

        Returns:
            `name`, `dense`, `compressed`, and `error`: the standard error of what lies between
            them, by samples or by leaving out groups of them; None for too few.

        Raises:
            InputError: The callable raises, or returns no usable number.
        """
        everything = np.arange(len(self._labels))
        dense, own = (self._score(rows, everything) for rows in (self._dense, self._compressed))
        if dense.ndim == own.ndim == 1:
            draws = own - dense
        else:
            whole, pseudo = float(own.mean()) - float(dense.mean()), []
            groups = min(_GROUPS, len(everything))
            for group in range(groups if groups > 1 else 0):
                left = everything[everything % groups != group]
                a, b = (self._score(rows, left) for rows in (self._dense, self._compressed))
                difference = float(b.mean()) - float(a.mean())
                pseudo.append(groups * whole - (groups - 1) * difference)
            draws = np.array(pseudo)
        return {
            "name": self._name,
            "dense": float(dense.mean()),
            "compressed": float(own.mean()),
            "error": standard_error(draws),
        }

    def _jackknife(self, value: float, everything: npt.NDArray[np.int64]) -> Estimate:
        """Pseudo-values of the metric without one group of samples in turn (Tukey's)."""
        groups = min(_GROUPS, len(everything))
        shares = []
        for group in range(groups):
            left = everything[everything % groups != group]
            if not len(left):
                return Estimate(value, np.array([value]))
            scores = [self._score(rows, left) for rows in (self._compressed, self._dense)]
            shares.append(groups * value - (groups - 1) * float(scores[0]) / float(scores[1]))
        return Estimate(value, np.array(shares))

    def _score(
        self, rows: list[NamedArrays], chosen: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float64]:
        """The metric of some samples: a number, or one for each."""
        outputs = {n: _stacked([rows[i][n] for i in chosen]) for n in self._outputs}
        predictions = outputs if len(outputs) > 1 else next(iter(outputs.values()))
        given = [label for i in chosen if (label := self._labels[i]) is not None]
        labels = _stacked(given) if len(given) == len(chosen) else None
        with user_code(f"{self._option} {self._name}"):
            score = np.asarray(self._metric(predictions, labels), np.float64)
        if score.shape not in ((), (len(chosen),)):
            raise InputError(
                f"{self._option} {self._name} must return a number or one for each of "
                f"{len(chosen)} samples; it returned an array of shape {list(score.shape)}."
            )
        if not np.isfinite(score).all():
            raise InputError(f"{self._option} {self._name} returned numbers that are not finite.")
        return score


def _stacked(arrays: list[npt.NDArray[Any]]) -> npt.NDArray[Any] | list[npt.NDArray[Any]]:
    """One array where the shapes are one, else the list."""
    if len({np.shape(array) for array in arrays}) == 1:
        return np.stack(arrays)
    return arrays
