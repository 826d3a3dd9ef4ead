"""How the user wants models to be run."""

from __future__ import annotations

import dataclasses

from ..errors import at_least

__all__ = ["Runtime"]


@dataclasses.dataclass(frozen=True)
class Runtime:
    """How onnxruntime runs.

    Attributes:
        provider: An execution provider.
        threads: Threads of an operator, in training too; 0 leaves the choice to the runtimes.
        custom_ops: Libraries of operators of the user's own, as onnxruntime loads them.
    """

    provider: str = "CPUExecutionProvider"
    threads: int = 0
    custom_ops: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        at_least("--threads", self.threads, 0)
