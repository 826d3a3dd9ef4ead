"""One calibration, several budgets: the front of quality against size and speed."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor

from .calibration import Calibration
from .errors import BudgetError, InputError
from .files import model_io
from .options import Budget, Options
from .pipeline import calibrated, compressed
from .progress import Progress
from .result import Result

__all__ = ["budgets_of", "run_sweep", "with_suffix"]


def run_sweep(
    model: model_io.Model,
    calibration: Calibration,
    options: Options,
    budgets: Sequence[Budget],
    progress: Progress,
    executor: Executor | None = None,
    *,
    dry: bool = False,
) -> Iterator[tuple[Budget, Result | BudgetError]]:
    """Yields each budget's result, or why it cannot be met.

    Raises:
        BudgetError: None of the budgets can be met.
    """
    progress.limit(options.max_time)
    progress.forecast.more = len(budgets) - 1
    known = calibrated(model, calibration, options, progress, executor, dry=dry)
    shared = dict(progress.seconds)
    met, last = False, None
    for place, budget in enumerate(budgets, 1):
        # Each report counts the calibration, which served it too, and its own stages.
        progress.seconds = dict(shared)
        try:
            with progress.one_budget(str(budget), len(budgets) - place):
                result = compressed(known, dataclasses.replace(options, budget=budget), progress)
        except BudgetError as error:
            last = error
            yield budget, error
            continue
        met = True
        yield budget, result
    if not met and last is not None:
        raise last


def budgets_of(kind: str, text: str) -> list[Budget]:
    """The budgets of `--sweep 0.9,0.75,0.5`, in the unit of `--budget`, each once.

    Raises:
        InputError: The list is empty, or holds something else.
    """
    values = [value.strip() for value in text.split(",") if value.strip()]
    if not values:
        raise InputError(f"--sweep '{text}' holds no budgets; give a list such as 0.9,0.75,0.5.")
    found: dict[Budget, None] = {}
    for value in values:
        try:
            found[Budget.parse(f"{kind}={value}")] = None
        except InputError:
            raise InputError(
                f"--sweep holds '{value}'; give shares above zero such as 0.9,0.75,0.5, or amounts "
                "in the unit of --budget."
            ) from None
    return list(found)


def with_suffix(path: pathlib.Path, budget: Budget) -> pathlib.Path:
    """`small.onnx` for one of several budgets: `small.0.5.onnx`."""
    return path.with_name(f"{path.stem}.{budget.value:.6g}{path.suffix}")
