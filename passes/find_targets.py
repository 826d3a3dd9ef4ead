"""Find the operators that can be factorized, and say why the others cannot."""

from __future__ import annotations

import collections
import math
from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from ._graph import scopes
from .target import Convolution, Skipped, Target

__all__ = ["FindTargets"]

Array = npt.NDArray[np.float64]

_FLOATS = {ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.BFLOAT16, ir.DataType.DOUBLE}

# Operators that hold linear weights which no form treats: listed, so that nothing is passed over
# in silence. The value is the input that carries the weight.
_UNTREATED = {
    "ConvTranspose": 1,
    "Einsum": 1,
    "GRU": 1,
    "Gather": 0,
    "LSTM": 1,
    "RNN": 1,
}
_QUANTIZED = {"ConvInteger", "MatMulInteger", "MatMulNBits", "QLinearConv", "QLinearMatMul"}


class FindTargets(ir.passes.InPlacePass):
    """Collects targets and skipped operators; the model is only read.

    A node is a target when all of this holds:

    - it is a MatMul with a 2-D constant on the right, a Gemm with a constant `B`, or a Conv with
      a constant kernel of more than one input channel a group;
    - the constant is an initializer (see `LiftWeights`) that no caller can replace and no other
      node reads, in a floating-point type;
    - it stands in the main graph or in branches of If, where its input can be observed;
    - some rank makes it smaller.

    Attributes:
        targets: The targets in graph order, names unique.
        skipped: Every other operator that holds linear weights, or could, with the reason.
        names: The name of every node, as targets are named.
    """

    def __init__(self) -> None:
        self.targets: list[Target] = []
        self.skipped: list[Skipped] = []
        self.names: dict[ir.Node, str] = {}

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Runs the pass on the main graph, every subgraph and every function."""
        self.targets, self.skipped, self.names = [], [], {}
        self._seen: collections.Counter[str] = collections.Counter()
        for scope, owners in scopes(model.graph):
            blocked = next((o.op_type for o in owners if o.op_type != "If"), None)
            self._visit(model, scope, f"stands in the body of a {blocked}" if blocked else None)
        for function in model.functions.values():
            self._visit(model, function, f"stands in the model-local function '{function.name}'")
        return ir.passes.PassResult(model, modified=False)

    def _visit(self, model: ir.Model, scope: Iterable[ir.Node], blocked: str | None) -> None:
        for node in scope:
            name = self.names[node] = self._unique_name(node)
            if node.op_type in _QUANTIZED:
                self._skip(node, name, None, "is quantized: factorize before quantizing")
            elif node.domain == "" and node.op_type in _FINDERS:
                found = blocked or _FINDERS[node.op_type](model, node, name)
                if isinstance(found, Target):
                    self.targets.append(found)
                else:
                    self._skip(node, name, _weight(node), found)
            elif node.domain == "" and node.op_type in _UNTREATED:
                weight = node.inputs[_UNTREATED[node.op_type]]
                if weight is not None and _is_matrix_of_floats(weight):
                    self._skip(node, name, weight, f"{node.op_type} is not factorized yet")

    def _skip(self, node: ir.Node, name: str, weight: ir.Value | None, reason: str) -> None:
        tensor = weight.const_value if weight is not None else None
        params = int(math.prod(tensor.shape.numpy())) if tensor is not None else 0
        self.skipped.append(Skipped(name, node.op_type, params, reason))

    def _unique_name(self, node: ir.Node) -> str:
        name = node.name or f"{node.op_type}_{node.outputs[0].name}"
        self._seen[name] += 1
        return name if self._seen[name] == 1 else f"{name}#{self._seen[name]}"


def _weight(node: ir.Node) -> ir.Value | None:
    """The constant operand of a linear operator, whichever side it is on."""
    for value in (*node.inputs[1:2], *node.inputs[:1]):
        if value is not None and value.const_value is not None:
            return value
    return None


def _is_matrix_of_floats(value: ir.Value) -> bool:
    tensor = value.const_value
    return tensor is not None and tensor.dtype in _FLOATS and len(tensor.shape) >= 2


def _find_matmul(model: ir.Model, node: ir.Node, name: str) -> Target | str:
    x, weight = node.inputs
    if x is None or weight is None:
        return "lacks an operand"
    refusal = _refuse_left(x, weight) or _refuse(model, weight)
    if refusal:
        return refusal
    assert weight.const_value is not None
    shape = weight.const_value.shape.numpy()
    if len(shape) != 2:
        return f"its weight has {len(shape)} dimensions, and only matrices are treated yet"
    rows, columns = shape
    centred = bias_after(model, node, columns) is not None
    bias = np.zeros(columns)
    return _checked(Target(name, node, x, weight, 1, rows, columns, centred, bias=bias))


def _find_gemm(model: ir.Model, node: ir.Node, name: str) -> Target | str:
    a, b = node.inputs[:2]
    if a is None or b is None:
        return "lacks an operand"
    refusal = _refuse_left(a, b) or _refuse(model, b)
    if refusal:
        return refusal
    assert b.const_value is not None
    shape = b.const_value.shape.numpy()
    rows, columns = shape[::-1] if _int(node, "transB", 0) else shape
    c = node.inputs[2] if len(node.inputs) > 2 else None
    centred = c is None or is_row_of(model, c, columns)
    return _checked(
        Target(
            name,
            node,
            a,
            b,
            1,
            rows,
            columns,
            centred,
            transposed_input=bool(_int(node, "transA", 0)),
            scale=_float(node, "alpha", 1.0),
            bias=_row(c, columns, _float(node, "beta", 1.0)) if centred else None,
        )
    )


def _find_conv(model: ir.Model, node: ir.Node, name: str) -> Target | str:
    x, weight = node.inputs[:2]
    if x is None or weight is None:
        return "lacks an operand"
    refusal = _refuse(model, weight)
    if refusal:
        return refusal
    assert weight.const_value is not None
    out_channels, in_channels, *kernel = weight.const_value.shape.numpy()
    groups = _int(node, "group", 1)
    if in_channels == 1 and groups > 1:
        return "is depthwise: one input channel a group leaves nothing to factorize"
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    centred = bias is None or (bias.const_value is not None and not replaceable(model, bias))
    rank = len(kernel)
    auto_pad = node.attributes.get("auto_pad")
    geometry = Convolution(
        kernel=tuple(kernel),
        strides=_ints(node, "strides", (1,) * rank),
        dilations=_ints(node, "dilations", (1,) * rank),
        pads=_ints(node, "pads", (0,) * (2 * rank)),
        auto_pad=auto_pad.as_string() if auto_pad is not None else "NOTSET",
    )
    return _checked(
        Target(
            name,
            node,
            x,
            weight,
            groups,
            in_channels * math.prod(kernel),
            out_channels // groups,
            centred,
            bias=_row(bias, out_channels) if centred else None,
            convolution=geometry,
        )
    )


_FINDERS: dict[str, Callable[[ir.Model, ir.Node, str], Target | str]] = {
    "MatMul": _find_matmul,
    "Gemm": _find_gemm,
    "Conv": _find_conv,
}


def _refuse_left(left: ir.Value, right: ir.Value) -> str | None:
    """Why a product cannot be treated whose only constant is on the left, or None."""
    if left.const_value is not None and right.const_value is None:
        return "its constant is the left operand, which is not treated yet"
    return None


def _refuse(model: ir.Model, weight: ir.Value) -> str | None:
    """Why a value cannot serve as a weight, or None if it can."""
    if weight.const_value is None or not weight.is_initializer():
        return "has no constant weight: both operands are computed at run time"
    if replaceable(model, weight):
        return f"its weight '{weight.name}' is also a graph input, which a caller may replace"
    if weight.is_graph_output():
        return f"its weight '{weight.name}' is also a graph output"
    if weight.const_value.dtype not in _FLOATS:
        return f"its weight is of type {weight.const_value.dtype.name.lower()}"
    readers = len(weight.uses())
    if readers > 1:
        return f"its weight '{weight.name}' is shared by {readers} nodes"
    return None


def _checked(target: Target) -> Target | str:
    """The target, unless even rank 1 is no smaller than the dense weight."""
    if target.factor_params(1) >= target.params:
        return f"no rank makes a {target.rows} x {target.columns} weight smaller"
    return target


def bias_after(model: ir.Model, node: ir.Node, columns: int) -> ir.Node | None:
    """The Add that gives a MatMul its bias: the only reader, with a constant row of N numbers."""
    output = node.outputs[0]
    readers = output.consumers()
    if output.is_graph_output() or len(readers) != 1 or readers[0].op_type != "Add":
        return None
    add = readers[0]
    others = [value for value in add.inputs if value is not output]
    if len(others) != 1 or others[0] is None or add.graph is not node.graph:
        return None
    # A bias of higher rank than the product's would add an axis: only a flat row is safe.
    tensor = others[0].const_value
    flat = tensor is not None and len(tensor.shape) == 1
    return add if flat and is_row_of(model, others[0], columns) else None


def replaceable(model: ir.Model, value: ir.Value) -> bool:
    """Whether a caller may feed another value in place of an initializer.

    Before IR version 4 every initializer had to be listed among the inputs, so that it says
    nothing there.
    """
    return value.is_graph_input() and (model.ir_version is None or model.ir_version >= 4)


def is_row_of(model: ir.Model, value: ir.Value, columns: int) -> bool:
    """Whether a constant adds one number to each of N columns."""
    if value.const_value is None or replaceable(model, value):
        return False
    shape = value.const_value.shape.numpy()
    return math.prod(shape) in (1, columns) and math.prod(shape) == (shape[-1] if shape else 1)


def _row(value: ir.Value | None, columns: int, scale: float = 1.0) -> Array:
    """A constant row as float64, spread over its columns; zero where there is none."""
    if value is None:
        return np.zeros(columns)
    assert value.const_value is not None
    row = value.const_value.numpy().astype(np.float64).reshape(-1)
    return np.asarray(np.broadcast_to(scale * row, (columns,)))


def _float(node: ir.Node, name: str, default: float) -> float:
    attribute = node.attributes.get(name)
    return attribute.as_float() if attribute is not None else default


def _int(node: ir.Node, name: str, default: int) -> int:
    attribute = node.attributes.get(name)
    return attribute.as_int() if attribute is not None else default


def _ints(node: ir.Node, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
    attribute = node.attributes.get(name)
    return tuple(attribute.as_ints()) if attribute is not None else default
