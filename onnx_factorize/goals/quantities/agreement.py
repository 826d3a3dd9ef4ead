"""`--keep agreement=0.98`: predictions that are the dense model's."""

from __future__ import annotations

import numpy as np

from ...arrays import NamedArrays
from ...calibration import Batch
from ...errors import InputError
from ...evaluation import Divergences
from ...outputs import Categorical
from .confidence import Estimate
from .quantity import Outputs, Quantity, of_counts
from .registry import register

__all__ = ["SameTopClass"]


@register
class SameTopClass(Quantity):
    """The share of predictions with the same most likely class as the dense model's."""

    name = "agreement"

    def __init__(self, outputs: Outputs) -> None:
        classes = {n: o for n, o in outputs.items() if isinstance(o, Categorical)}
        if not classes:
            raise InputError(
                "--keep agreement=… needs an output of classes, and the model has none that is "
                "recognised; say so with --outputs NAME=categorical, or use --keep cosine=…."
            )
        self._found = Divergences(classes)

    def add(self, batch: Batch, dense: NamedArrays, compressed: NamedArrays) -> None:
        """Adds the outputs of one batch."""
        self._found.add(batch, dense, compressed)

    def estimate(self) -> Estimate:
        """The agreement of all that was added."""
        rows = [self._found.rows(name) for name in self._found.totals]
        kept = sum(each.agreements for each in rows if each.agreements is not None)
        of = sum(each.predictions[:, 0] for each in rows)
        return of_counts(list(zip(np.asarray(kept), np.asarray(of), strict=True)))
