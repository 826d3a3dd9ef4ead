"""The divergence of one model from another, output by output, part by part, sample by sample."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from ..arrays import NamedArrays
from ..calibration import Batch
from ..errors import InputError
from ..outputs import Compared, OutputDistribution

__all__ = ["Divergences"]

Float = npt.NDArray[np.float64]


class Divergences:
    """Sums over the samples of all outputs that count.

    Attributes:
        outputs: Output name to its distribution.
        totals: Output name to the sums over all samples, as one row.
        samples: Samples added.
    """

    def __init__(self, outputs: Mapping[str, OutputDistribution]) -> None:
        self.outputs = outputs
        self.totals: dict[str, Compared] = {}
        self.samples = 0
        self._rows: dict[str, list[Compared]] = {name: [] for name in outputs}

    def add(self, batch: Batch, dense: NamedArrays, compressed: NamedArrays) -> None:
        """Adds the outputs of one batch.

        Raises:
            InputError: The models' outputs differ in shape.
        """
        found: dict[str, Compared] = {}
        for name, output in self.outputs.items():
            p, q = dense[name], compressed[name]
            if p.shape != q.shape:
                raise InputError(
                    f"Output '{name}' has shape {list(p.shape)} in one model and "
                    f"{list(q.shape)} in the other."
                )
            found[name] = output.compare(p, q, batch.samples, batch.mask)
        # Where some output has no row for each sample (a state, a scalar), a batch is one row.
        together = len({len(each.divergences) for each in found.values()}) > 1
        for name, each in found.items():
            nothing = Compared(
                np.zeros_like(each.divergences[:1]),
                np.zeros_like(each.predictions[:1]),
                None if each.agreements is None else np.zeros(1),
            )
            self.totals[name] = self.totals.get(name, nothing) + each
            self._rows[name].append(nothing + each if together else each)
        self.samples += batch.samples

    @property
    def value(self) -> float:
        """The divergence of all outputs, in nats; infinite if one is not finite."""
        found = sum(total.divergence for total in self.totals.values())
        return float(found) if np.isfinite(found) else float("inf")

    def rows(self, name: str) -> Compared:
        """The sums of one output, row by row: a sample each, or a batch."""
        parts = self._rows[name]
        agreements = [each.agreements for each in parts if each.agreements is not None]
        return Compared(
            np.concatenate([each.divergences for each in parts]),
            np.concatenate([each.predictions for each in parts]),
            np.concatenate(agreements) if agreements else None,
        )

    def worst_part(self, name: str) -> int:
        """The part of an output that diverges most."""
        return int(self.totals[name].by_part.argmax())

    def by_sample(self) -> Float | None:
        """The divergence of each sample, summed over outputs, shape (samples,).

        None where some output has no row for each sample.
        """
        total = np.zeros(self.samples)
        for name in self.totals:
            rows = self.rows(name)
            if len(rows.divergences) != self.samples:
                return None
            means = rows.divergences / np.maximum(rows.predictions, 1)
            seen = np.maximum((rows.predictions > 0).sum(axis=1), 1)
            total = total + means.sum(axis=1) / seen
        return total
