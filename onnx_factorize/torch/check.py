"""torch against onnxruntime, and the first node on which they differ."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import torch

from ..arrays import NamedArrays
from ..runtime.runtimes.onnx_runtime import OnnxRuntime
from ..runtime.session import Runtime
from .devices import full_precision
from .execution import dtypes
from .execution.errors import DeviationError
from .execution.program import Operation
from .module import GraphModule

__all__ = ["check_against_onnxruntime"]


# Where a model amplifies rounding, torch and onnxruntime may differ by so many times what torch
# differs from itself in float64, but by no more than the second.
_ROUNDING = 4.0
_MOST_ROUNDING = 1e-2


def check_against_onnxruntime(
    module: GraphModule,
    model: ir.Model,
    feeds: NamedArrays,
    tolerance: float = 1e-4,
    runtime: Runtime | None = None,
) -> float:
    """Runs both on the same feeds.

    Args:
        module: What `to_torch` made of the model.
        model: The model.
        feeds: Input name to array.
        tolerance: The largest difference allowed, relative to the largest magnitude of an output;
            more where float32 itself is that far from float64.
        runtime: How onnxruntime runs.

    Returns:
        The largest relative difference of any output.

    Raises:
        DeviationError: An output differs by more; the first node of the main graph whose output
            does so is named.
        InputError: One of them cannot run.

    Example:
        >>> import numpy, onnx_ir
        >>> from onnx_factorize.torch import check_against_onnxruntime, to_torch
        >>> model = onnx_ir.load("model.onnx")
        >>> feeds = {"x": numpy.ones((2, 24), numpy.float32)}
        >>> check_against_onnxruntime(to_torch(model), model, feeds) < 1e-4
        True
    """
    runtime = runtime or OnnxRuntime()
    found = _outputs(module, feeds)
    expected = runtime.session(model).run(feeds)
    errors = {name: deviation(found[name], value) for name, value in expected.items()}
    worst = max(errors, key=lambda name: errors[name])
    if errors[worst] <= tolerance:
        return errors[worst]
    if errors[worst] <= _MOST_ROUNDING:
        rounding = _rounding(module, feeds, found)
        if all(error <= max(tolerance, _ROUNDING * rounding[n]) for n, error in errors.items()):
            return errors[worst]
    where = _first_deviation(module, model, feeds, tolerance, runtime)
    raise DeviationError(
        f"torch and onnxruntime differ by {errors[worst]:.1e} of output '{worst}'; "
        f"{where or 'no single node shows where it begins'}."
    )


def _rounding(
    module: GraphModule, feeds: NamedArrays, found: Mapping[str, Any]
) -> dict[str, float]:
    """The distance of each output from what the module gives in float64."""
    exact = _outputs(copy.deepcopy(module).double(), feeds)
    return {name: deviation(value, exact[name]) for name, value in found.items()}


def _outputs(module: GraphModule, feeds: NamedArrays) -> dict[str, Any]:
    with torch.no_grad(), full_precision(module.device):
        return module.numpy(module.run(feeds).outputs)


def deviation(found: Any, expected: Any) -> float:
    """The largest difference, relative to the largest magnitude expected; inf for another form."""
    if isinstance(expected, list):
        if not isinstance(found, list) or len(found) != len(expected):
            return np.inf
        pairs = zip(found, expected, strict=True)
        return max((deviation(a, b) for a, b in pairs), default=0.0)
    if expected is None or found is None:
        return 0.0 if expected is found else np.inf
    if found.shape != expected.shape:
        return np.inf
    if not expected.size:
        return 0.0
    if expected.dtype.kind not in "fiub" and not _small(expected):
        return 0.0 if np.array_equal(found, expected) else np.inf
    a, b = found.astype(np.float64), expected.astype(np.float64)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    if same.all():
        return 0.0
    finite = np.isfinite(b)
    if not (same | (finite & np.isfinite(a))).all():
        return np.inf
    scale = float(np.abs(b[finite]).max()) or 1.0
    return float(np.abs(a - b)[~same].max()) / scale


def _small(array: npt.NDArray[Any]) -> bool:
    """Tells whether an array is of one of the types that numpy itself does not have."""
    return array.dtype.kind == "V"


def _first_deviation(
    module: GraphModule, model: ir.Model, feeds: NamedArrays, tolerance: float, runtime: Runtime
) -> str | None:
    """A clause that names the first node of the main graph whose output differs."""
    wider = model.clone()
    present = {value.name for value in wider.graph.outputs}
    values = [
        value
        for node in wider.graph
        for value in node.outputs
        if value.name and value.name not in present and node.op_type != "Constant"
    ]
    wider.graph.outputs.extend(values)
    expected = runtime.session(wider).run(feeds)
    clauses: list[str] = []

    def look(step: Operation, results: Sequence[Any]) -> None:
        for slot, kind, result in zip(step.outputs, step.output_types, results, strict=False):
            name = None if slot is None else module.name_of(slot)
            if clauses or name not in expected:
                continue
            error = deviation(dtypes.to_numpy(result, kind), expected[name])
            if error > tolerance:
                clauses.append(f"{step.label} is the first, by {error:.1e} of '{name}'")

    with torch.no_grad(), full_precision(module.device):
        module.run(feeds, observe=look)
    return clauses[0] if clauses else None
