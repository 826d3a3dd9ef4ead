"""The result of one run of a module."""

from __future__ import annotations

import dataclasses
from typing import Any

__all__ = ["Run"]


@dataclasses.dataclass(frozen=True)
class Run:
    """The result of one run.

    Attributes:
        outputs: Output name to value.
        captured: Name to value, for each value asked for; a list of values for one that was
            computed several times, in the body of a loop.

    Example:
        >>> import torch
        >>> from onnx_factorize.torch import to_torch
        >>> run = to_torch("model.onnx").run({"x": torch.ones(2, 24)}, capture=["logits"])
        >>> sorted(run.outputs), sorted(run.captured)
        (['y'], ['logits'])
    """

    outputs: dict[str, Any]
    captured: dict[str, Any]
