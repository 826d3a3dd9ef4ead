"""Graphs from text, their adjoints in onnxruntime, and finite differences of them in float64."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx
import onnx.parser
import onnx_ir as ir
import onnxruntime as ort
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidGraph
from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as NoKernel

from onnx_factorize.passes.adjoint import AppendAdjoint

Arrays = dict[str, npt.NDArray[np.generic]]


def parse(text: str, opset: int = 18, ir_version: int = 9) -> onnx.ModelProto:
    """Parse ``(inputs) => (outputs) {nodes}``, or a graph preceded by functions."""
    head = f'<ir_version: {ir_version}, opset_import: ["" : {opset}, "com.microsoft" : 1]>'
    return onnx.parser.parse_model(f"{head} main {text}")


def session(model: ir.Model | onnx.ModelProto) -> ort.InferenceSession:
    proto = ir.to_proto(model) if isinstance(model, ir.Model) else model
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


class Adjoint:
    """A model with its adjoint appended, all float outputs seeded by extra inputs."""

    def __init__(
        self,
        proto: onnx.ModelProto,
        wanted: Sequence[str],
        through: Sequence[str] | None = None,
        run: bool = True,
    ) -> None:
        """Append it; `through` names the outputs that are seeded, all of floats unless given."""
        self.model = ir.from_proto(proto)
        graph = self.model.graph
        self.outputs = [
            value
            for value in graph.outputs
            if value.dtype in _FLOATS and (through is None or value.name in through)
        ]
        self.seeds = {}
        for value in self.outputs:
            seed = ir.Value(name=f"seed.{value.name}", type=value.type, shape=value.shape)
            graph.inputs.append(seed)
            self.seeds[value] = seed
        values = {
            value.name: value
            for inner in self.model.graphs()
            for value in (*inner.inputs, *(v for node in inner for v in node.outputs))
        }
        self.wanted = [values[name] for name in wanted]
        self.step = AppendAdjoint(self.seeds, self.wanted)
        self.step(self.model)
        self.names = []
        for value in self.wanted:
            if value in self.step.gradients:
                gradient = self.step.gradients[value]
                self.names.append(gradient.name)
                if not gradient.is_graph_output():
                    graph.outputs.append(gradient)
        if run:
            self.session = session(self.model)

    def run(self, feeds: Arrays, cotangents: Arrays) -> list[npt.NDArray[np.generic]]:
        seeds = {f"seed.{name}": array for name, array in cotangents.items()}
        fixed = {**feeds, **seeds}
        names = list(dict.fromkeys(self.names))
        found = dict(zip(names, self.session.run(names, fixed), strict=True))
        return [found[name] for name in self.names]


_FLOATS = (ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.FLOAT16)


def widened(text: str) -> str:
    """Return the text of a graph of floats as one of doubles."""
    text = re.sub(r"\bfloat(?=[\[ ])", "double", text)
    return text.replace("<to = 1>", "<to = 11>").replace("stash_type = 1>", "stash_type = 11>")


class Erf(OpRun):
    """In the input's own precision."""

    def _run(self, x):
        return (np.vectorize(math.erf, otypes=[x.dtype.char])(x),)


class Gelu(OpRun):
    """In the input's own precision."""

    op_domain = ""

    def _run(self, x, approximate="none"):
        if approximate == "tanh":
            inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
            return (0.5 * x * (1 + np.tanh(inner)),)
        erf = np.vectorize(math.erf, otypes=[x.dtype.char])
        return (0.5 * x * (1 + erf(x * math.sqrt(0.5))),)


class FastGelu(OpRun):
    """As onnxruntime has it, in the input's own precision."""

    op_domain = "com.microsoft"

    def _run(self, x, bias=0.0):
        x = x + bias
        inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
        return (0.5 * x * (1 + np.tanh(inner)),)


class QuickGelu(OpRun):
    """As onnxruntime has it, in the input's own precision."""

    op_domain = "com.microsoft"

    def _run(self, x, alpha=1.702):
        return (x / (1 + np.exp(-float(alpha) * x)),)


OPERATORS = [Erf, Gelu, FastGelu, QuickGelu]


def evaluator(proto: onnx.ModelProto) -> Callable[[Arrays], Arrays]:
    """Run a model of doubles in onnxruntime, or where it lacks kernels in onnx's reference."""
    names = [output.name for output in proto.graph.output]
    runtime = None
    with contextlib.suppress(InvalidGraph, NoKernel):
        runtime = session(proto)
    if runtime is None:
        slow = ReferenceEvaluator(proto, new_ops=OPERATORS)
        return lambda feeds: dict(zip(names, slow.run(None, feeds), strict=True))
    return lambda feeds: dict(zip(names, runtime.run(names, feeds), strict=True))


def differences(
    proto: onnx.ModelProto, feeds: Arrays, cotangents: Arrays, names: Sequence[str], h: float
) -> list[npt.NDArray[np.float64]]:
    """Differentiate Σ ȳ·y by each element of each named input, centrally, in float64."""
    run = evaluator(proto)
    exact = not any(i.type.tensor_type.elem_type == 1 for i in proto.graph.input)
    wide = {
        name: np.asarray(array, np.float64) if array.dtype == np.float32 else array
        for name, array in feeds.items()
    }

    def loss() -> float:
        outputs = run(
            wide if exact else {n: np.asarray(a, feeds[n].dtype) for n, a in wide.items()}
        )
        return float(
            sum((cotangents[name].astype(np.float64) * outputs[name]).sum() for name in cotangents)
        )

    found = []
    for name in names:
        array = wide[name] = np.array(wide[name])
        slope = np.zeros(array.shape)
        for index in np.ndindex(*array.shape):
            kept = array[index]
            array[index] = kept + h
            above = loss()
            array[index] = kept - h
            slope[index] = (above - loss()) / (2 * h)
            array[index] = kept
        found.append(slope)
    return found


def shapes_of(proto: onnx.ModelProto, feeds: Arrays) -> dict[str, tuple[int, ...]]:
    """Run the model in onnxruntime, and return the shapes of its float outputs."""
    run = session(proto)
    outputs = run.run(None, feeds)
    return {
        info.name: array.shape
        for info, array in zip(run.get_outputs(), outputs, strict=True)
        if array.dtype == np.float32
    }


def check(
    text: str,
    feeds: Mapping[str, npt.NDArray[np.generic]],
    wanted: Sequence[str] | None = None,
    opset: int = 18,
    tolerance: float = 2e-4,
    h: float = 1e-5,
    single: bool = False,
) -> Adjoint:
    """Compare an adjoint with finite differences in every float input (or the named ones)."""
    feeds = {name: np.asarray(array) for name, array in feeds.items()}
    names = list(wanted or [name for name, a in feeds.items() if a.dtype == np.float32])
    proto = parse(text, opset)
    generator = np.random.default_rng(7)
    cotangents: Arrays = {
        name: generator.standard_normal(shape).astype(np.float32)
        for name, shape in shapes_of(proto, feeds).items()
    }
    adjoint = Adjoint(proto, names)
    assert not adjoint.step.unreachable, adjoint.step.unreachable
    found = adjoint.run(feeds, cotangents)
    exact = parse(text if single else widened(text), opset)
    expected = differences(exact, feeds, cotangents, names, h)
    for name, ours, truth in zip(names, found, expected, strict=True):
        assert ours.shape == truth.shape, name
        assert ours.dtype == np.float32, name
        scale = max(float(np.linalg.norm(truth)), 1e-2)
        error = float(np.linalg.norm(ours - truth)) / scale
        assert error < tolerance, f"{name}: relative error {error:.1e}\n{ours}\n{truth}"
    return adjoint


def normal(*shape: int, seed: int = 0) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def spaced(*shape: int, seed: int = 0) -> npt.NDArray[np.float32]:
    """Return distinct values at least 0.05 apart and away from 0: no kink is crossed."""
    size = int(np.prod(shape))
    values = (np.random.default_rng(seed).permutation(size) - size / 2 + 0.25) * (4 / size)
    return values.reshape(shape).astype(np.float32)
