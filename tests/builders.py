"""Graphs from text, and running them: what the tests of the core share."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx.parser
import onnx_ir as ir
import onnxruntime as ort

from onnx_factorize.allocation.model_costs import Costs
from onnx_factorize.allocation.price import Price
from onnx_factorize.goals.budgets import price_of
from onnx_factorize.options import Budget
from onnx_factorize.outputs import OutputDistribution, class_axis
from onnx_factorize.outputs.kinds_by_data import settled
from onnx_factorize.outputs.labels_seen import LabelsSeen
from onnx_factorize.outputs.seen import OutputSeen
from onnx_factorize.passes import (
    Factors,
    FindTargets,
    LiftWeights,
    OutputKind,
    RewriteTargets,
    Target,
)
from onnx_factorize.runtime.arithmetic import Arithmetic
from onnx_factorize.runtime.interleaved import Timing

Array = npt.NDArray[Any]
Arrays = dict[str, Array]

ROOT = pathlib.Path(__file__).parents[1]
BUNDLED = ROOT / "models" / "bundled" / "fashion-cnn.onnx"
BUNDLED_DATA = ROOT / "models" / "bundled" / "calib.npz"


def weights_as_time(models: Sequence[ir.Model], *_: Any) -> list[float]:
    """A timer of a machine on which a thousand weights take a millisecond."""
    weights = [m.graph.initializers.values() for m in models]
    return [1e-3 * sum(w.const_value.size for w in each) for each in weights]  # type: ignore[union-attr]


def timing(*milliseconds: float) -> Timing:
    """What a made-up clock measured of models, without any noise."""
    return Timing(np.array([milliseconds] * 5))


def model(
    text: str,
    weights: Mapping[str, Array] | None = None,
    *,
    opset: int = 20,
    ir_version: int = 9,
) -> onnx.ModelProto:
    """Parses `(inputs) => (outputs) {nodes}` and adds initializers to the main graph."""
    head = f'<ir_version: {ir_version}, opset_import: ["" : {opset}, "custom" : 1]> main '
    proto = onnx.parser.parse_model(head + text)
    for name, array in (weights or {}).items():
        tensor = onnx.numpy_helper.from_array(array, name)
        proto.graph.initializer.append(tensor)
        if ir_version < 4:
            proto.graph.input.append(
                onnx.helper.make_tensor_value_info(name, tensor.data_type, array.shape)
            )
    return proto


def price(kind: str) -> Price:
    """The unit of a budget, for a dense model that costs nothing."""
    return price_of(Budget(kind, 0.5), Costs(0, 0, Arithmetic(0, {}, {})))


def session(source: onnx.ModelProto | ir.Model | str | pathlib.Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    # The dense model must be what it says, not what a fusion makes of it.
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    if isinstance(source, ir.Model):
        source = ir.to_proto(source)
    serialized = source.SerializeToString() if isinstance(source, onnx.ModelProto) else str(source)
    return ort.InferenceSession(serialized, options, providers=["CPUExecutionProvider"])


def run(source: Any, feeds: Mapping[str, Array]) -> list[Array]:
    return session(source).run(None, dict(feeds))  # type: ignore[no-any-return]


def distribution(
    kind: OutputKind, value: Array, mask: Array | None = None, labels: Array | None = None
) -> OutputDistribution:
    """What an output is taken for that has such values in the dense model."""
    if kind.kind == "categorical" and kind.axis is None:
        kind = dataclasses.replace(kind, axis=class_axis(value.astype(np.float64)))
    seen, told = OutputSeen(kind), LabelsSeen()
    seen.add(value, len(value), mask, "here")
    told.add(value, labels)
    made = settled(seen, told)
    assert made is not None
    return made


def found(proto: onnx.ModelProto | ir.Model) -> tuple[ir.Model, FindTargets]:
    """The normalised model and what was found in it."""
    normal = proto if isinstance(proto, ir.Model) else ir.from_proto(proto)
    LiftWeights()(normal)
    finder = FindTargets()
    finder(normal)
    return normal, finder


def svd_factors(target: Target, rank: int, shift: Array | None = None) -> Factors:
    """The truncated SVD, by numpy, of what the package says that the weight is."""
    u, s, v = np.linalg.svd(target.matrices(), full_matrices=False)
    return Factors(u[..., :rank] * s[:, None, :rank], v[:, :rank], shift)


def rewritten(
    proto: onnx.ModelProto, rank: int | None = None, shift: float | None = None
) -> tuple[ir.Model, list[Target]]:
    """Every target as the truncated SVD of a rank (full by default), biases moved by `shift`."""
    normal, finder = found(proto)
    factors = {
        t.name: svd_factors(
            t,
            rank or t.full_rank,
            np.full(t.groups * t.columns, shift) if shift is not None and t.centred else None,
        )
        for t in finder.targets
    }
    RewriteTargets(factors)(normal)
    return normal, finder.targets


def check(compressed: ir.Model) -> onnx.ModelProto:
    proto = ir.to_proto(compressed)
    onnx.checker.check_model(proto, full_check=True)
    return proto


def assert_close(actual: Array, wanted: Array, tolerance: float = 1e-5) -> None:
    """Relative to the largest element: what "relative 1e-5" means for a tensor."""
    assert actual.shape == wanted.shape
    assert actual.dtype == wanted.dtype
    scale = float(np.abs(wanted.astype(np.float64)).max()) or 1.0
    worst = float(np.abs(actual.astype(np.float64) - wanted.astype(np.float64)).max())
    assert worst <= tolerance * scale, f"off by {worst / scale:.2e} of the largest element"


def normal(seed: int, *shape: int, dtype: Any = np.float32) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def ops(proto: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in proto.graph.node]


def names(values: Sequence[Any]) -> list[str]:
    return [value.name for value in values]


# Two layers, 64 to 96 to 48: enough weights for budgets to be met to within 1 %.
W_LARGE = {
    "w1": normal(21, 64, 96) / np.float32(8),
    "b1": normal(22, 96),
    "w2": normal(23, 96, 48) / np.float32(10),
    "b2": normal(24, 48),
}
