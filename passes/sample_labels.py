"""Labels at a model's outputs, drawn by itself or given, and the gradients of their likelihood."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from ._graph import Namer, opset
from .recognize_outputs import OutputKind

__all__ = ["GivenLabels", "OutputSeed", "SampleLabels"]

_SOFTMAX_ON_AXIS_SINCE = 13
_UNSQUEEZE_INPUT_SINCE = 13
_MAX_BROADCASTS_SINCE = 8

# No smaller probability is drawn in practice; the bound keeps the division finite.
_TINY = 1e-20


@dataclasses.dataclass(frozen=True)
class GivenLabels:
    """Labels that come with the data.

    Attributes:
        classes: Number of classes of a categorical output.
        deviation: Standard deviation of a gaussian output over the data.
    """

    classes: int = 1
    deviation: float = 1.0


@dataclasses.dataclass(frozen=True)
class OutputSeed:
    """How the gradient at one output is seeded.

    Attributes:
        kind: What the output stands for, with its class axis.
        scale: What the gradient is multiplied by: one over the root of the number of predictions
            a sample, and of the standard deviation of a gaussian output.
        mask: An input of shape (batch, length) that is zero where the output's positions are
            padding, or None.
        given: Labels come with the data, in place of draws from the model; None if they do not.
    """

    kind: OutputKind
    scale: float
    mask: str | None = None
    given: GivenLabels | None = None


class SampleLabels(ir.passes.InPlacePass):
    """Appends, for each output, the gradient of the loss of a label that the model itself draws.

    - categorical: a class along the class axis;
    - bernoulli: an event for each element;
    - gaussian: a value for each element, of unit variance around the output.

    The expectation of the products of such gradients is the Fisher information ("true", not
    "empirical": Kunstner, Hennig and Balles, "Limitations of the empirical Fisher approximation",
    2019). Draws differ from run to run and repeat with a new session of the same seed.

    Labels that are given (the empirical Fisher information) become inputs of the graph, of the
    shape of their output: a distribution over classes (all zero where there is no label), events,
    or values.

    Attributes:
        seeds: Output value to the value of the gradient there.
        inputs: Output name to the name of the input that takes its labels, where they are given.
    """

    def __init__(self, outputs: Mapping[str, OutputSeed], seed: int = 0) -> None:
        self._outputs = outputs
        self._seed = seed
        self.seeds: dict[ir.Value, ir.Value] = {}
        self.inputs: dict[str, str] = {}

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Appends the nodes."""
        self._model = model
        self._names = Namer(model)
        self._opset = opset(model)
        self._draws = 0
        for value in list(model.graph.outputs):
            seed = self._outputs.get(value.name or "")
            if seed is None or seed.kind.kind == "ignore":
                continue
            if seed.given is None:
                gradient = self._drawn(value, seed.kind)
            else:
                gradient = self._given(value, seed.kind, seed.given)
            if seed.mask is not None:
                gradient = self._op("Mul", gradient, self._mask(seed.mask, value))
            scale = self._constant(seed.scale, value)
            self.seeds[value] = self._op("Mul", gradient, scale)
        return ir.passes.PassResult(model, modified=bool(self.seeds))

    def _drawn(self, y: ir.Value, kind: OutputKind) -> ir.Value:
        """The gradient of minus the log-likelihood of a drawn label with respect to `y`."""
        if kind.kind == "gaussian":
            return self._random("RandomNormalLike", y)
        if kind.kind == "bernoulli":
            drawn = self._op("Less", self._random("RandomUniformLike", y), y)
            return self._of_event(y, self._op("Cast", drawn, to=_type(y)))
        assert kind.axis is not None
        probability = self._probability(y, kind)
        label = self._op("Cast", self._label(probability, kind.axis), to=_type(y))
        return self._of_class(probability, probability, label, kind)

    def _given(self, y: ir.Value, kind: OutputKind, given: GivenLabels) -> ir.Value:
        """The same of the label that is fed."""
        label = ir.Value(
            name=self._names(f"label_of_{y.name}"), type=ir.TensorType(y.dtype or ir.DataType.FLOAT)
        )
        self._model.graph.inputs.append(label)
        assert y.name is not None
        assert label.name is not None
        self.inputs[y.name] = label.name
        if kind.kind == "gaussian":
            error = self._op("Sub", y, label)
            return self._op("Mul", error, self._constant(1 / given.deviation, y))
        if kind.kind == "bernoulli":
            return self._of_event(y, label)
        assert kind.axis is not None
        probability = self._probability(y, kind)
        # Zero where there is no label.
        labelled = self._reduce("ReduceSum", label, kind.axis)
        return self._of_class(probability, self._op("Mul", probability, labelled), label, kind)

    def _of_event(self, y: ir.Value, event: ir.Value) -> ir.Value:
        """The gradient of minus the log-likelihood of events that have the probabilities `y`."""
        one = self._constant(1.0, y)
        happened = self._ratio(event, y)
        not_happened = self._ratio(self._op("Sub", one, event), self._op("Sub", one, y))
        return self._op("Sub", not_happened, happened)

    def _of_class(
        self, probability: ir.Value, expected: ir.Value, label: ir.Value, kind: OutputKind
    ) -> ir.Value:
        """The gradient of minus the log-likelihood of classes, on the scale of the output."""
        if kind.scale == "logit":
            return self._op("Sub", expected, label)
        if kind.scale == "log-probability":
            return self._op("Neg", label)
        return self._op("Neg", self._ratio(label, probability))

    def _ratio(self, drawn: ir.Value, probability: ir.Value) -> ir.Value:
        """One over the probability of what was drawn, zero elsewhere."""
        if self._opset < _MAX_BROADCASTS_SINCE:
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

    def _label(self, probability: ir.Value, axis: int) -> ir.Value:
        """A boolean that is true at one class, drawn by the Gumbel-max trick."""
        uniform = self._random("RandomUniformLike", probability)
        gumbel = self._op("Neg", self._op("Log", self._op("Neg", self._op("Log", uniform))))
        perturbed = self._op("Add", self._op("Log", probability), gumbel)
        return self._op(
            "Not", self._op("Less", perturbed, self._reduce("ReduceMax", perturbed, axis))
        )

    def _reduce(self, op_type: str, value: ir.Value, axis: int) -> ir.Value:
        if op_type == "ReduceSum" and self._opset >= _UNSQUEEZE_INPUT_SINCE:
            return self._op(op_type, value, self._integers([axis]), keepdims=1)
        if op_type == "ReduceMax" and self._opset >= 18:
            return self._op(op_type, value, self._integers([axis]), keepdims=1)
        return self._op(op_type, value, axes=[axis], keepdims=1)

    def _mask(self, name: str, like: ir.Value) -> ir.Value:
        """The mask as numbers, with an axis for the output's last one."""
        mask = next(value for value in self._model.graph.inputs if value.name == name)
        numbers = self._op("Cast", mask, to=_type(like))
        if self._opset >= _UNSQUEEZE_INPUT_SINCE:
            return self._op("Unsqueeze", numbers, self._integers([2]))
        return self._op("Unsqueeze", numbers, axes=[2])

    def _random(self, op_type: str, like: ir.Value) -> ir.Value:
        self._draws += 1
        return self._op(op_type, like, seed=float(1000 * self._seed + self._draws))

    def _constant(self, number: float, like: ir.Value) -> ir.Value:
        dtype = like.dtype or ir.DataType.FLOAT
        return self._initializer(np.asarray(number, dtype.numpy()), dtype)

    def _integers(self, numbers: list[int], shape: tuple[int, ...] = (-1,)) -> ir.Value:
        return self._initializer(np.array(numbers, np.int64).reshape(shape), ir.DataType.INT64)

    def _initializer(self, array: npt.NDArray[Any], dtype: ir.DataType) -> ir.Value:
        name = self._names("label_constant")
        tensor = ir.tensor(array, dtype=dtype, name=name)
        value = ir.Value(
            name=name,
            shape=ir.Shape(array.shape),
            type=ir.TensorType(dtype),
            const_value=tensor,
        )
        self._model.graph.register_initializer(value)
        return value

    def _op(self, op_type: str, *inputs: ir.Value, **attributes: float | list[int]) -> ir.Value:
        node = ir.node(op_type, list(inputs), attributes, name=self._names(f"label_{op_type}"))
        node.outputs[0].name = self._names(f"label_{op_type}_output")
        self._model.graph.append(node)
        return node.outputs[0]


def _type(value: ir.Value) -> int:
    return int(value.dtype or ir.DataType.FLOAT)
