"""Gradient descent in whitened coordinates."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from .svt_target import SVTTarget

__all__ = ["WhitenedGradient"]


class WhitenedGradient(torch.optim.Optimizer):
    """W ← W - η A⁻¹ ∇W G⁻¹, which is S ← S - η ∇S for S = A^½ W G^½.

    A and G are the Kronecker factors of the Fisher information, so it is natural gradient descent
    (Martens and Grosse, 2015), and in its metric the maps of `SVT` are exact. It needs metrics that
    are given, not observed.

    Args:
        targets: What to step.
        lr: η. Descent is certain below 2 / L, and with a proximal map up to 1 / L, with L the
            smoothness of the loss in S.
    """

    def __init__(self, targets: Sequence[SVTTarget], lr: float) -> None:
        super().__init__([target.parameter for target in targets], {"lr": lr})
        self._of = {target.parameter: target for target in targets}

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]  # torch overloads it
        """One step."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                target = self._of[parameter]
                # The gradient with respect to what the node multiplies by, `scale` times the
                # Parameter, is that of the Parameter over the scale.
                gradient = target.matrices(parameter.grad) / target.scale**2
                step = target.whitening.preconditioned(gradient)
                parameter.sub_(group["lr"] * target.stored(step))
        return loss
