"""The Python functions: each is what a command of the command line is, with keywords for options.

What they do is told to the logger `onnx_factorize`, too: each stage when it is done.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import TYPE_CHECKING

from .calibrating import calibrate_to, survey_alone
from .calibration import Calibration
from .files import model_io
from .notebook import usual_progress
from .options import Budget, DataKeywords, OptionKeywords, Options, SweepKeywords
from .options.messages import naming_parameters
from .options.signatures import takes
from .pipeline import run
from .progress import Progress
from .report import comparison, inspection
from .report.comparison import Comparison
from .report.inspection import Inspection
from .result import Result
from .shards import WHOLE, Shard, merge_files
from .statistics.statistics_file import save
from .sweeping import run_sweep

if TYPE_CHECKING:
    from typing_extensions import Unpack  # in `typing` from Python 3.11 on

__all__ = ["calibrate", "compare", "factorize", "inspect", "merge", "sweep"]


@takes(OptionKeywords)
def factorize(
    model: model_io.Model,
    calibration: Calibration,
    *,
    progress: Progress | None = None,
    executor: Executor | None = None,
    **options: Unpack[OptionKeywords],
) -> Result:
    """Compresses a trained model by calibrated low-rank factorization.

    Args:
        model: A path, an `onnx.ModelProto` or an `onnx_ir.Model`. It is not changed.
        calibration: A path, an iterable of feeds (mappings from input names to arrays), an
            onnxruntime `CalibrationDataReader`, or a callable that makes one.
        progress: What is told how far the run is; by default a notebook shows it.
        executor: What runs workers that calibrate: any executor of `concurrent.futures`, or of a
            library that offers one (Dask, Ray). With `workers` alone they are processes here.
        **options: Those of the command line: `Options` and its parts say what each means.

    Returns:
        The compressed model and the report.

    Raises:
        InputError: The model, the data or an option is wrong.
        BudgetError: The budget cannot be met.

    Example:
        >>> import onnx_factorize
        >>> result = onnx_factorize.factorize(
        ...     "model.onnx", "data.npz", budget="params=0.8", samples=64, threads=1
        ... )
        >>> dense, small = result.report.model["dense"], result.report.model["compressed"]
        >>> small.params <= 0.8 * dense.params
        True
        >>> result.save("small.onnx", reports=["small.json"])
    """
    with naming_parameters(Options.names()):
        return run(
            model, calibration, Options.of(**options), progress or usual_progress(), executor
        )


@takes(SweepKeywords)
def sweep(
    model: model_io.Model,
    calibration: Calibration,
    budgets: Sequence[str | Budget],
    *,
    progress: Progress | None = None,
    executor: Executor | None = None,
    **options: Unpack[SweepKeywords],
) -> list[Result]:
    """Compresses a model to several budgets with one calibration.

    Args:
        model: As for `factorize`.
        calibration: As for `factorize`.
        budgets: Such as `["params=0.9", "params=0.5"]`.
        progress: What is told how far the run is; by default a notebook shows it.
        executor: As for `factorize`.
        **options: As for `factorize`, without a budget.

    Returns:
        A result for each budget that can be met.

    Raises:
        InputError: The model, the data or an option is wrong.
        BudgetError: None of the budgets can be met.

    Example:
        >>> import onnx_factorize
        >>> results = onnx_factorize.sweep(
        ...     "model.onnx", "data.npz", ["params=0.9", "params=0.7"], samples=64, threads=1
        ... )
        >>> [result.report.command["budget"] for result in results]
        ['params=0.9', 'params=0.7']
    """
    with naming_parameters(Options.names()):
        chosen = [each if isinstance(each, Budget) else Budget.parse(each) for each in budgets]
        given = Options.of(**options)
        found = run_sweep(model, calibration, given, chosen, progress or usual_progress(), executor)
        return [result for _, result in found if isinstance(result, Result)]


@takes(SweepKeywords)
def calibrate(
    model: model_io.Model,
    calibration: Calibration,
    output: str | os.PathLike[str],
    *,
    shard: str | None = None,
    survey: bool = False,
    use_survey: str | os.PathLike[str] | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    executor: Executor | None = None,
    **options: Unpack[SweepKeywords],
) -> None:
    """Gathers the statistics of a model, for `factorize(..., statistics=)`.

    Args:
        model: As for `factorize`.
        calibration: As for `factorize`.
        output: The .npz file to write.
        shard: Which part of the samples, such as `3/16`; None for all.
        survey: Only find out what all parts share.
        use_survey: The file in which that was written.
        resume: Leave a file as it is that holds this part already.
        progress: What is told how far the run is; by default a notebook shows it.
        executor: As for `factorize`.
        **options: As for `factorize`; what statistics do not depend on may differ later.

    Raises:
        InputError: The model, the data or an option is wrong.

    Example:
        >>> import onnx_factorize
        >>> for part in (1, 2):
        ...     onnx_factorize.calibrate(
        ...         "model.onnx", "data.npz", f"{part}.npz", shard=f"{part}/2", samples=64
        ...     )
        >>> onnx_factorize.merge(["1.npz", "2.npz"], "all.npz")
        >>> result = onnx_factorize.factorize(
        ...     "model.onnx", "data.npz", statistics="all.npz", budget="params=0.8", samples=64
        ... )
    """
    with naming_parameters(Options.names()):
        given, told, file = (
            Options.of(**options),
            progress or usual_progress(),
            pathlib.Path(output),
        )
        if survey:
            save(survey_alone(model, calibration, given, told), file)
            return
        part = WHOLE if shard is None else Shard.parse(shard)
        calibrate_to(
            file, model, calibration, given, told, part, use_survey, executor, resume=resume
        )


def merge(parts: Sequence[str | os.PathLike[str]], output: str | os.PathLike[str]) -> None:
    """Adds up the parts of a calibration.

    Args:
        parts: The files that `calibrate` wrote, in any order.
        output: The .npz file to write.

    Raises:
        InputError: A part is missing, or they are not of one calibration.

    Example:
        >>> import onnx_factorize
        >>> onnx_factorize.calibrate("model.onnx", "data.npz", "1.npz", shard="1/2", samples=64)
        >>> try:
        ...     onnx_factorize.merge(["1.npz"], "all.npz")
        ... except onnx_factorize.InputError as error:
        ...     print(str(error)[:48])
        Not all parts are there: part 2 of 2 is missing;
    """
    save(merge_files(parts), output)


@takes(DataKeywords)
def compare(
    dense: model_io.Model,
    compressed: model_io.Model,
    calibration: Calibration,
    *,
    progress: Progress | None = None,
    **options: Unpack[DataKeywords],
) -> Comparison:
    """Compares two models on all samples of the data, none of which is set apart.

    Args:
        dense: The model to compare with.
        compressed: The model to judge, with the same inputs and outputs.
        calibration: As for `factorize`.
        progress: What is told how far the run is; by default a notebook shows it.
        **options: Those of `factorize` that say how data are read and models run.

    Raises:
        InputError: A model or the data cannot be used, or the models do not match.

    Example:
        >>> import onnx_factorize
        >>> found = onnx_factorize.compare("model.onnx", "model.onnx", "data.npz", samples=64)
        >>> found.agreement.divergence
        0.0
    """
    with naming_parameters(Options.names()):
        several = comparison.compare_several(
            dense, [compressed], calibration, Options.of(**options), progress or usual_progress()
        )
        return several[0]


def inspect(
    model: model_io.Model, *, custom_ops: str | Sequence[str] = (), deploy_to: str | None = None
) -> Inspection:
    """Finds what is factorizable in a model, without calibration data.

    Args:
        model: As for `factorize`.
        custom_ops: Libraries of operators of the user's own, as onnxruntime loads them.
        deploy_to: A device that the model is looked at for; then `deployment` of what is found says
            what it does not take, and what would be kept from it.

    Raises:
        InputError: The model, or a library, cannot be read, or there is no such device.

    Example:
        >>> import onnx_factorize
        >>> [(layer.name, layer.full_rank) for layer in onnx_factorize.inspect("model.onnx").layers]
        [('first', 24), ('second', 6)]
    """
    with naming_parameters(Options.names()):
        return inspection.inspect(
            model,
            custom_ops=[custom_ops] if isinstance(custom_ops, str) else custom_ops,
            deploy_to=deploy_to,
        )
