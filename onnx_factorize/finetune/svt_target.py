"""A Parameter whose rank is to fall: how it is a matrix, in which metric, and what rank costs."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..passes import Target
from ..torch.module import GraphModule
from .whitening import Whitening

__all__ = ["SVTTarget"]


@dataclasses.dataclass(eq=False)
class SVTTarget:
    """One weight y = x W, in groups.

    Attributes:
        name: As the report names it.
        parameter: Where it is kept.
        whitening: Its metric.
        unit: What one component costs, in all groups.
        dense: What it costs as it is.
        groups: Number of matrices.
        transposed: Whether it is stored as (groups · N, K), as convolutions are.
        scale: What the node multiplies it by.
    """

    name: str
    parameter: nn.Parameter
    whitening: Whitening
    unit: float
    dense: float
    groups: int = 1
    transposed: bool = False
    scale: float = 1.0

    @classmethod
    def of(
        cls, module: GraphModule, target: Target, A: Tensor | None = None, G: Tensor | None = None
    ) -> SVTTarget:
        """A target that a pass found, in the metric of two moments, with weights as cost.

        Args:
            module: The model in torch.
            target: The target.
            A: Moment of x, shape (groups, K, K); None for the identity.
            G: Moment of the gradient at y, shape (groups, N, N); None for the identity.

        Raises:
            InputError: The target's weight is not a Parameter of the module.
        """
        name = target.weight.name or ""
        if name not in module.initializers:
            raise InputError(f"The weight '{name}' of '{target.name}' is not trained.")
        shape = torch.Size((target.groups, target.rows, target.columns))
        return cls(
            target.name,
            module.get_parameter(module.initializers[name]),
            Whitening.of(A, G, shape),
            unit=float(target.factor_params(1)),
            dense=float(target.params),
            groups=target.groups,
            transposed=target.convolution is not None or target.weight_is_transposed,
            scale=target.scale,
        )

    def matrices(self, tensor: Tensor | None = None) -> Tensor:
        """The Parameter, or a tensor of its form, as float64 matrices (groups, K, N)."""
        tensor = self.parameter.detach() if tensor is None else tensor
        stacked = tensor.double().reshape(self.groups, tensor.shape[0] // self.groups, -1)
        return self.scale * (stacked.mT if self.transposed else stacked)

    def stored(self, matrices: Tensor) -> Tensor:
        """Matrices (groups, K, N) in the form and type of the Parameter."""
        straight = matrices.mT if self.transposed else matrices
        return (straight / self.scale).reshape(self.parameter.shape).to(self.parameter.dtype)
