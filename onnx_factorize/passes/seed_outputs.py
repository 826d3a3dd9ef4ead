"""Gradients of a label's likelihood at a model's outputs, made of numbers that are fed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from ..graph import Namer, new_constant, opset
from ..graph.builder import emit
from .recognize_outputs import OutputKind

__all__ = ["OutputSeed", "SeedInputs", "SeedOutputs"]

_CUMSUM_SINCE = 11
_SOFTMAX_ON_AXIS_SINCE = 13
_REDUCE_SUM_INPUT_SINCE = 13
_REDUCE_MAX_INPUT_SINCE = 18

# No smaller probability is drawn in practice; the bound keeps the division finite.
_TINY = 1e-20

# What is fed in place of a drawn label: numbers from 0 to 1, one a prediction; numbers of the
# exponential distribution, one a class; normal numbers, one an element, each multiplied by its
# weight; or the labels themselves.
Fed = Literal["uniform", "exponential", "normal", "label"]


@dataclasses.dataclass(frozen=True)
class OutputSeed:
    """The seed of the gradient at one output.

    Attributes:
        kind: What the output stands for, with its class axis.
        given: Labels come with the data, in place of draws from the model.
        shift: The common shift of a categorical output's logits counts too.
    """

    kind: OutputKind
    given: bool = False
    shift: bool = False


@dataclasses.dataclass(frozen=True)
class SeedInputs:
    """The inputs of the graph that one output's seed is made of.

    Attributes:
        fed: What `numbers` takes.
        numbers: Its name. It has the output's shape, but for `uniform`, which has one number for
            all classes.
        weight: The name of what the gradient is multiplied by, of a shape that broadcasts to the
            output's; None for `normal`.
        shift: The name of what is added along the class axis, of the shape of `uniform`; None
            where no shift counts.
        size: The name of an output that holds the output's shape.
    """

    fed: Fed
    numbers: str
    weight: str | None
    shift: str | None
    size: str


class SeedOutputs(ir.passes.InPlacePass):
    """Appends, for each output, the gradient of the loss of a label that the model itself draws.

    - categorical: a class along the class axis, and on request a common shift of all logits;
    - bernoulli: an event for each element;
    - gaussian: a value for each element.

    The expectation of the products of such gradients is the Fisher information ("true", not
    "empirical": Kunstner, Hennig and Balles, "Limitations of the empirical Fisher approximation",
    2019). What is random is fed, so that it can be keyed by the sample, and so that no random
    operator is needed: onnxruntime has no kernel for those from opset 22.

    Labels that are given (the empirical Fisher information) are fed in the shape of their output:
    a distribution over classes (all zero where there is no label), events, or values.

    Attributes:
        seeds: Output value to the value of the gradient there.
        inputs: Output name to the inputs that its seed is made of.
    """

    def __init__(self, outputs: Mapping[str, OutputSeed]) -> None:
        self._outputs = outputs
        self.seeds: dict[ir.Value, ir.Value] = {}
        self.inputs: dict[str, SeedInputs] = {}

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Appends the nodes."""
        self._model = model
        self._names = Namer(model)
        self._opset = opset(model)
        for value in list(model.graph.outputs):
            seed = self._outputs.get(value.name or "")
            if seed is None or seed.kind.kind == "ignore":
                continue
            self._seed(value, seed)
        return ir.passes.PassResult(model, modified=bool(self.seeds))

    def _seed(self, y: ir.Value, seed: OutputSeed) -> None:
        kind = seed.kind
        fed: Fed = "label"
        if not seed.given:
            by_class: Fed = "uniform" if self._opset >= _CUMSUM_SINCE else "exponential"
            fed = {"gaussian": "normal", "bernoulli": "uniform"}.get(kind.kind, by_class)  # type: ignore[assignment]
        numbers = self._input(f"{fed}_of_{y.name}", y)
        weight = None if fed == "normal" else self._input(f"weight_of_{y.name}", y)
        shift = self._input(f"shift_of_{y.name}", y) if seed.shift else None
        if kind.kind == "gaussian":
            gradient = numbers if fed == "normal" else self._op("Sub", y, numbers)
        elif kind.kind == "bernoulli":
            drawn = numbers
            if fed == "uniform":
                drawn = self._op("Cast", self._op("Less", numbers, y), to=_type(y))
            gradient = self._of_event(y, drawn)
        else:
            gradient = self._of_class(y, kind, fed, numbers)
        if weight is not None:
            gradient = self._op("Mul", gradient, weight)
        if shift is not None:
            gradient = self._op("Add", gradient, shift)
        self.seeds[y] = gradient
        size = self._op("Shape", y)
        size.type = ir.TensorType(ir.DataType.INT64)
        self._model.graph.outputs.append(size)
        assert y.name is not None
        self.inputs[y.name] = SeedInputs(
            fed,
            numbers.name or "",
            weight.name if weight is not None else None,
            shift.name if shift is not None else None,
            size.name or "",
        )

    def _of_event(self, y: ir.Value, event: ir.Value) -> ir.Value:
        """The gradient of minus the log-likelihood of events that have the probabilities `y`."""
        one = self._constant(1.0, y)
        happened = self._ratio(event, y)
        not_happened = self._ratio(self._op("Sub", one, event), self._op("Sub", one, y))
        return self._op("Sub", not_happened, happened)

    def _of_class(self, y: ir.Value, kind: OutputKind, fed: Fed, numbers: ir.Value) -> ir.Value:
        """The gradient of minus the log-likelihood of classes, on the scale of the output."""
        assert kind.axis is not None
        probability = self._probability(y, kind)
        expected, label = probability, numbers
        if fed == "label":
            # Zero where there is no label.
            labelled = self._reduce("ReduceSum", label, kind.axis)
            expected = self._op("Mul", probability, labelled)
        else:
            chosen = self._chosen(probability, kind.axis, fed, numbers)
            label = self._op("Cast", chosen, to=_type(y))
        if kind.scale == "logit":
            return self._op("Sub", expected, label)
        if kind.scale == "log-probability":
            return self._op("Neg", label)
        return self._op("Neg", self._ratio(label, probability))

    def _ratio(self, drawn: ir.Value, probability: ir.Value) -> ir.Value:
        """One over the probability of what was drawn, zero elsewhere."""
        if self._opset < 8:  # Max does not broadcast yet, and Clip takes its bound as an attribute.
            bounded = self._op("Clip", probability, min=_TINY)
        else:
            bounded = self._op("Max", probability, self._constant(_TINY, probability))
        return self._op("Div", drawn, bounded)

    def _probability(self, y: ir.Value, kind: OutputKind) -> ir.Value:
        assert kind.axis is not None
        if kind.scale == "probability":
            return y
        if kind.scale == "log-probability":
            return self._op("Exp", y)
        # Before opset 13 Softmax flattens, which is the same on the last axis only.
        if self._opset >= _SOFTMAX_ON_AXIS_SINCE or kind.axis == -1:
            rank = len(y.shape) if y.shape is not None else 2
            axis = kind.axis if self._opset >= _SOFTMAX_ON_AXIS_SINCE else rank - 1
            return self._op("Softmax", y, axis=axis)
        exponent = self._op("Exp", self._op("Sub", y, self._reduce("ReduceMax", y, kind.axis)))
        return self._op("Div", exponent, self._reduce("ReduceSum", exponent, kind.axis))

    def _chosen(self, probability: ir.Value, axis: int, fed: Fed, numbers: ir.Value) -> ir.Value:
        """A boolean that is true at one class.

        By the inverse of the distribution function: the first class at which the sum of the
        probabilities reaches the number; or by a race of exponential clocks.
        """
        if fed == "exponential":
            times = self._op("Div", numbers, probability)
            first = self._reduce("ReduceMin", times, axis)
            return self._op("Not", self._op("Greater", times, first))
        p, u = probability, numbers
        if (p.dtype or ir.DataType.FLOAT) not in (ir.DataType.FLOAT, ir.DataType.DOUBLE):
            # CumSum has no kernel for shorter floats.
            p, u = (self._op("Cast", each, to=int(ir.DataType.FLOAT)) for each in (p, u))
            p.type = u.type = ir.TensorType(ir.DataType.FLOAT)
        where = self._integers([axis], ())
        wanted = self._op("Mul", u, self._reduce("ReduceSum", p, axis))
        before = self._op("Less", self._op("CumSum", p, where, exclusive=1), wanted)
        behind = self._op("Less", self._op("CumSum", p, where), wanted)
        return self._op("And", before, self._op("Not", behind))

    def _reduce(self, op_type: str, value: ir.Value, axis: int) -> ir.Value:
        since = _REDUCE_SUM_INPUT_SINCE if op_type == "ReduceSum" else _REDUCE_MAX_INPUT_SINCE
        if self._opset >= since:
            return self._op(op_type, value, self._integers([axis]), keepdims=1)
        return self._op(op_type, value, axes=[axis], keepdims=1)

    def _input(self, name: str, like: ir.Value) -> ir.Value:
        dtype = like.dtype or ir.DataType.FLOAT
        value = ir.Value(name=self._names(name), type=ir.TensorType(dtype))
        self._model.graph.inputs.append(value)
        return value

    def _constant(self, number: float, like: ir.Value) -> ir.Value:
        dtype = like.dtype or ir.DataType.FLOAT
        return self._initializer(np.asarray(number, dtype.numpy()), dtype)

    def _integers(self, numbers: list[int], shape: tuple[int, ...] = (-1,)) -> ir.Value:
        return self._initializer(np.array(numbers, np.int64).reshape(shape), ir.DataType.INT64)

    def _initializer(self, array: npt.NDArray[Any], dtype: ir.DataType) -> ir.Value:
        name = self._names("label_constant")
        value = new_constant(name, array, dtype)
        self._model.graph.register_initializer(value)
        return value

    def _op(self, op_type: str, *inputs: ir.Value, **attributes: float | list[int]) -> ir.Value:
        return emit(
            self._model.graph.append,
            op_type,
            inputs,
            attributes,
            name=self._names(f"label_{op_type}"),
            output=self._names(f"label_{op_type}_output"),
        )


def _type(value: ir.Value) -> int:
    return int(value.dtype or ir.DataType.FLOAT)
