"""Options of the runtime, as the user gives them."""

from __future__ import annotations

import dataclasses

from ..errors import InputError, at_least
from .fields import option

__all__ = ["RuntimeOptions"]


@dataclasses.dataclass(frozen=True)
class RuntimeOptions:
    """The runtime of models, and how it runs them.

    Attributes:
        provider: An execution provider, where the runtime has several.
        threads: Threads of an operator, in training too; 0 leaves the choice to the runtimes.
        custom_ops: Libraries of operators of the user's own, as onnxruntime loads them.
        workers: Processes that calibrate, or parts of the samples for an executor; 0 for none.
        scheduler: The address of a Dask scheduler whose workers calibrate; None for none.
        runtime: The name of the runtime.
        latency_profile: Results of a latency kit, by which cuts are timed in place of this machine;
            after it perhaps those of models that were checked.
        measure: A command that prints the milliseconds that a model takes, `{model}` being its
            file; None to time models in the runtime.
    """

    provider: str = option("CPUExecutionProvider", "The execution provider of onnxruntime.")
    threads: int = option(0, "Threads of an operator; 0 for the default.", hides_default=True)
    custom_ops: tuple[str, ...] = option(
        (),
        "A library of operators that onnxruntime does not have; repeatable.",
        metavar="FILE",
        repeated=True,
    )
    workers: int = option(
        0,
        "Processes on this machine that calibrate, each of some samples; 0 for this one alone.",
        hides_default=True,
    )
    scheduler: str | None = option(
        None,
        "A Dask scheduler whose workers calibrate, such as tcp://host:8786.",
        metavar="ADDRESS",
    )
    runtime: str = option("onnxruntime", "What runs and times models.")
    latency_profile: tuple[str, ...] = option(
        (),
        "What a latency kit measured elsewhere (its results.json): budgets of time are of that "
        "device, and what is slower there is not cut. Repeatable: the results of checks after it.",
        metavar="FILE",
        repeated=True,
    )
    measure: str | None = option(
        None,
        "Time models by this command, which prints milliseconds; {model} in it is the file.",
        metavar="COMMAND",
    )

    def __post_init__(self) -> None:
        at_least("--threads", self.threads, 0)
        at_least("--workers", self.workers, 0)
        if self.measure is not None and self.latency_profile:
            raise InputError(
                "Give --measure or --latency-profile, not both: each says what times models."
            )
