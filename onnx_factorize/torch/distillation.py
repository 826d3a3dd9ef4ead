"""How far a model in training is from the dense one: the divergence of `divergence`, in torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..divergence import class_axis
from ..passes import OutputKind
from ..statistics.rows import leading_mask, unmasked

__all__ = ["Distillation"]

Array = npt.NDArray[Any]

# As small as a probability is taken to be.
_FLOOR = 1e-12


class Distillation:
    """The loss that training brings down: the mean divergence of a prediction, in nats.

    Gaussian outputs are in units of the variance that the dense model's have over the data, which
    is learned from the batches that `observe` is given.
    """

    def __init__(self, kinds: Mapping[str, OutputKind]) -> None:
        """Starts.

        Args:
            kinds: What each output stands for.
        """
        self._kinds = {name: kind for name, kind in kinds.items() if kind.kind != "ignore"}
        # Of gaussian outputs: numbers, their sum, and that of their squares.
        self._moments = {name: np.zeros(3) for name in self._kinds}

    def observe(self, dense: Mapping[str, Array], mask: npt.NDArray[np.bool_] | None) -> None:
        """Learns from the outputs of the dense model on some batch what their variance is.

        Args:
            dense: The outputs.
            mask: Which positions hold data, shape (batch, length); None if all do.
        """
        for name, kind in self._kinds.items():
            if kind.kind == "gaussian":
                value = unmasked(dense[name], mask).astype(np.float64)
                own = np.array([value.size, value.sum(), np.square(value).sum()])
                self._moments[name] = self._moments[name] + own

    def __call__(
        self,
        dense: Mapping[str, Array],
        trained: Mapping[str, Tensor],
        mask: npt.NDArray[np.bool_] | None = None,
    ) -> Tensor:
        """The divergence on one batch, summed over outputs.

        Args:
            dense: The dense model's outputs.
            trained: Those of the model in training.
            mask: Which positions hold data, shape (batch, length).
        """
        total: Tensor | None = None
        for name, kind in self._kinds.items():
            q = trained[name].float()
            p = torch.from_numpy(dense[name]).to(q)
            # Masking joins leading axes, so the class axis is counted from the end.
            axis = kind.axis if kind.axis is None or kind.axis < 0 else kind.axis - p.ndim
            kept = leading_mask(tuple(p.shape), mask)
            if kept is not None:
                index = torch.from_numpy(kept).to(q.device)
                p, q = p[index], q[index]
            loss = self._of(name, kind, axis, p, q)
            # Nothing but padding is no loss, where a mean would be none.
            mean = loss.sum() / max(1, loss.numel())
            total = mean if total is None else total + mean
        assert total is not None
        return total

    def _of(self, name: str, kind: OutputKind, axis: int | None, p: Tensor, q: Tensor) -> Tensor:
        """The divergence of each prediction of one output, that holds no padding."""
        if not p.numel():
            return q.flatten()
        if kind.kind == "categorical":
            axis = class_axis(p.double().numpy(force=True)) if axis is None else axis
            log_p, log_q = _log_probabilities(p, kind, axis), _log_probabilities(q, kind, axis)
            # A class that the dense model rules out adds nothing.
            gap = torch.where(torch.isfinite(log_p), log_p - log_q, torch.zeros_like(log_p))
            return (log_p.exp() * gap).sum(axis)
        if kind.kind == "bernoulli":
            return _event(p, q) + _event(1 - p, 1 - q)
        size, plain, squares = self._moments[name]
        variance = squares / size - (plain / size) ** 2 if size else 1.0
        return 0.5 * (p - q).square() / max(float(variance), _FLOOR)


def _event(p: Tensor, q: Tensor) -> Tensor:
    """What one of two events adds; each is floored by itself, as 1 - 1e-12 is 1 in float32."""
    p, q = p.clamp(min=_FLOOR), q.clamp(min=_FLOOR)
    return p * (p.log() - q.log())


def _log_probabilities(x: Tensor, kind: OutputKind, axis: int) -> Tensor:
    if kind.scale == "logit":
        return x.log_softmax(axis)
    return x if kind.scale == "log-probability" else x.clamp(min=_FLOOR).log()
