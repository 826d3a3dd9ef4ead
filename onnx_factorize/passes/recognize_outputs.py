"""Recognise what each output means: probabilities of classes, of events, or plain numbers."""

from __future__ import annotations

import dataclasses
import re
from typing import Literal

import onnx_ir as ir

from ..graph import constant, opset, subgraphs

__all__ = ["Kind", "OutputKind", "RecognizeOutputs"]

Kind = Literal["categorical", "bernoulli", "gaussian", "ignore"]

_TRANSPARENT = {
    "Cast",
    "Clip",
    "Flatten",
    "Identity",
    "Reshape",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
}
# What masks are made with before they are added; the number that they hold is at least so large.
_MASKING = {
    "Cast",
    "Expand",
    "Identity",
    "Mul",
    "Neg",
    "Not",
    "Reshape",
    "Sub",
    "Unsqueeze",
    "Where",
}
_FILLER = 1e4
_LINEAR_ENDS = {"Gemm", "MatMul", "Conv"}
_POOLS = {"GlobalAveragePool", "AveragePool", "ReduceMean"}
_NOT_LOGITS = re.compile(r"embed|feature|hidden|state|box|pool|coord|regress", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class OutputKind:
    """The distribution that an output stands for.

    Attributes:
        kind: `categorical` (one distribution along `axis`), `bernoulli` (one event an element),
            `gaussian` (one number an element) or `ignore`.
        axis: The class axis of a categorical output; None where the graph does not tell, and the
            axis along which the values sum to one must be looked for.
        scale: What the values of a categorical output are.
        because: What the graph shows for it, to complete "taken for classes because of …".
        certain: Whether that is evidence; else it is a guess that the data must bear out.
    """

    kind: Kind
    axis: int | None = None
    scale: Literal["probability", "log-probability", "logit"] = "probability"
    because: str = dataclasses.field(default="", compare=False)
    certain: bool = dataclasses.field(default=True, compare=False)


class RecognizeOutputs(ir.passes.InPlacePass):
    """Reads each output's kind off the operators before it; the model is only read.

    Looking back through operators that only move, convert or bound values, or put a constant where
    something is masked:

    - Softmax and LogSoftmax, whole or as exp / sum(exp): categorical, on their axis;
    - Sigmoid and HardSigmoid, or a mean of them: bernoulli;
    - an output of which the graph takes the ArgMax, or called "logits": categorical, as logits;
    - a matrix with at least two columns that comes straight from a linear operator, and is not
      named like an embedding: perhaps categorical, as logits. Regressors end so too;
    - any other floating-point output: gaussian; outputs of other types are ignored.

    The outputs of an If are read off its first branch.

    Attributes:
        kinds: Output name to kind, in the model's order.
    """

    def __init__(self) -> None:
        self.kinds: dict[str, OutputKind] = {}

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Fills `kinds`."""
        self._opset = opset(model)
        for value in model.graph.outputs:
            assert value.name is not None
            self.kinds[value.name] = self._kind(value)
        return ir.passes.PassResult(model, modified=False)

    def _kind(self, output: ir.Value) -> OutputKind:
        dtype = output.dtype
        if output.type is not None and not isinstance(output.type, ir.TensorType):
            return OutputKind("ignore", because="its type, which is no tensor")
        if dtype is not None and not dtype.is_floating_point():
            return OutputKind("ignore", because=f"its type, {dtype.name.lower()}")
        node, moved = _source(output)
        if node is not None:
            if node.op_type in ("Softmax", "LogSoftmax"):
                default = 1 if self._opset < 13 else -1
                axis = node.attributes.get_int("axis", default)
                scale = "probability" if node.op_type == "Softmax" else "log-probability"
                return OutputKind("categorical", None if moved else axis, scale, node.op_type)  # type: ignore[arg-type]
            if _is_written_out_softmax(node):
                return OutputKind("categorical", because="exp(x) / sum(exp(x))")
            if node.op_type == "ReduceMean" and node.inputs[0] is not None:
                node = _source(node.inputs[0])[0] or node
            if node.op_type in ("Sigmoid", "HardSigmoid"):
                return OutputKind("bernoulli", because=node.op_type)
        return self._logits(output, node) or OutputKind("gaussian", because="real numbers")

    def _logits(self, output: ir.Value, node: ir.Node | None) -> OutputKind | None:
        rank = len(output.shape) if output.shape is not None else None
        name = output.name or ""
        largest = _argmax_axis(output)
        if largest is not None:
            return OutputKind("categorical", largest, "logit", "ArgMax")
        if "logit" in name.lower():
            axis = 1 if rank is not None and rank > 3 else -1
            return OutputKind("categorical", axis, "logit", "its name")
        if rank != 2 or _NOT_LOGITS.search(name) or not _ends_linear(node):
            return None
        assert output.shape is not None
        if output.shape[1] == 1:
            return None
        return OutputKind("categorical", -1, "logit", "a last linear operator", certain=False)


def _argmax_axis(output: ir.Value) -> int | None:
    """The axis along which the graph takes the ArgMax of an output; None if it does not."""
    value: ir.Value | None = output
    while value is not None:
        for user in value.consumers():
            if user.op_type == "ArgMax":
                return user.attributes.get_int("axis", 0)
        node = value.producer()
        alike = node is not None and node.op_type in ("Identity", "Cast")
        value = node.inputs[0] if node is not None and alike else None
    return None


def _source(value: ir.Value) -> tuple[ir.Node | None, bool]:
    """The operator behind a value, and whether its axes may have been moved since."""
    moved = False
    while (node := value.producer()) is not None:
        if node.op_type == "If":
            index = next(i for i, v in enumerate(node.outputs) if v is value)
            value = next(subgraphs(node)).outputs[index]
        elif node.op_type in _TRANSPARENT and node.inputs[0] is not None:
            moved |= node.op_type not in ("Identity", "Cast", "Clip")
            value = node.inputs[0]
        elif (behind := _masked(node)) is not None:
            value = behind
        else:
            return node, moved
    return None, moved


def _masked(node: ir.Node) -> ir.Value | None:
    """The value that a node replaces by a constant, or adds one to, where something is masked."""
    if node.op_type == "Where":
        kept = [v for v in node.inputs[1:] if v is not None and constant(v) is None]
    elif node.op_type == "Add":
        kept = [v for v in node.inputs if v is not None and not _fills(v)]
        if any(v is not None and constant(v) is not None for v in node.inputs):
            return None  # a bias
    else:
        return None
    return kept[0] if len(kept) == 1 else None


def _fills(value: ir.Value, steps: int = 6) -> bool:
    """Tells whether a value is a mask times a number that is out of the way of all others."""
    node = value.producer()
    if node is None or not steps or node.op_type not in _MASKING:
        return False
    for operand in (v for v in node.inputs if v is not None):
        tensor = constant(operand)
        if tensor is None:
            found = _fills(operand, steps - 1)
        else:
            number = tensor.dtype.is_floating_point() and tensor.size == 1
            found = number and abs(float(tensor.numpy().item())) >= _FILLER
        if found:
            return True
    return False


def _is_written_out_softmax(node: ir.Node) -> bool:
    """Tells whether a node divides `exp(x)` by `sum(exp(x))`, broadcast by hand or not."""
    if node.op_type != "Div" or node.inputs[0] is None or node.inputs[1] is None:
        return False
    above, below = node.inputs[0].producer(), node.inputs[1].producer()
    while below is not None and below.op_type in ("Reshape", "Expand", "Unsqueeze"):
        below = below.inputs[0].producer() if below.inputs[0] is not None else None
    return (
        above is not None
        and below is not None
        and above.op_type == "Exp"
        and below.op_type == "ReduceSum"
        and below.inputs[0] is node.inputs[0]
    )


def _ends_linear(node: ir.Node | None) -> bool:
    """Tells whether a value comes from a linear operator, its bias or a pooling of it."""
    while node is not None:
        if node.op_type in _LINEAR_ENDS:
            return True
        if node.op_type != "Add" and node.op_type not in _POOLS:
            return False
        computed = [v for v in node.inputs if v is not None and v.producer() is not None]
        node = _source(computed[0])[0] if len(computed) == 1 else None
    return False
