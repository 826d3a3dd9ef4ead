"""A graph that grows by operators drawn at random, whatever its values are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Shape = tuple[int, ...]

ACTIVATIONS = ("Relu", "Sigmoid", "Tanh", "Softplus", "Elu", "LeakyRelu", "Identity", "Neg", "Abs")


class Network:
    """A graph that grows by one operator at a time, with the shape of every value."""

    def __init__(self, seed: int, opset: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.opset = opset
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.shapes: dict[str, Shape] = {}
        self.count = 0

    # Draws.

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def pick(self, options: Sequence[Any]) -> Any:
        return options[int(self.rng.integers(len(options)))]

    def integer(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))

    def name(self, kind: str) -> str:
        self.count += 1
        return f"{kind}{self.count}"

    # Pieces.

    def op(
        self, op_type: str, inputs: Sequence[str], shape: Sequence[int], **attributes: Any
    ) -> str:
        (output,) = self.ops(op_type, inputs, [shape], **attributes)
        return output

    def ops(
        self,
        op_type: str,
        inputs: Sequence[str],
        shapes: Sequence[Sequence[int]],
        **attributes: Any,
    ) -> list[str]:
        outputs = [self.name(op_type.lower()) for _ in shapes]
        name = "" if self.chance(0.1) else f"node {outputs[0]}"
        self.nodes.append(helper.make_node(op_type, inputs, outputs, name, **attributes))
        self.shapes |= {o: tuple(shape) for o, shape in zip(outputs, shapes, strict=True)}
        return outputs

    def constant(self, array: np.ndarray, *, plain: bool = False) -> str:
        """An initializer, or now and then a Constant, either perhaps behind an Identity."""
        name = self.name("c")
        tensor = numpy_helper.from_array(array, name)
        if not plain and self.chance(0.15):
            self.nodes.append(helper.make_node("Constant", [], [name], value=tensor))
        else:
            self.initializers.append(tensor)
        self.shapes[name] = array.shape
        if not plain and self.chance(0.1):
            name = self.op("Identity", [name], array.shape)
        return name

    def floats(self, *shape: int, scale: float = 1.0, plain: bool = False) -> str:
        array = scale * self.rng.standard_normal(shape)
        return self.constant(array.astype(np.float32), plain=plain)

    def integers(self, *numbers: int) -> str:
        return self.constant(np.array(numbers, np.int64), plain=self.chance(0.5))

    def weight(self, *shape: int, fan: int) -> str:
        """A weight, perhaps behind a transposition or a cast."""
        scale = 1.5 / np.sqrt(fan)
        if len(shape) == 2 and self.chance(0.15):
            stored = self.floats(*shape[::-1], scale=scale)
            return self.op("Transpose", [stored], shape, perm=[1, 0])
        if self.chance(0.05):
            array = scale * self.rng.standard_normal(shape)
            stored = self.constant(array.astype(np.float64), plain=True)
            return self.op("Cast", [stored], shape, to=TensorProto.FLOAT)
        return self.floats(*shape, scale=scale)

    def model(self, x: Shape, declared: Sequence[Any], outputs: Sequence[str]) -> onnx.ModelProto:
        kind = TensorProto.FLOAT
        graph = helper.make_graph(
            self.nodes,
            "main",
            [helper.make_tensor_value_info("x", kind, declared)],
            [helper.make_tensor_value_info(y, kind, [None] * len(self.shapes[y])) for y in outputs],
            self.initializers,
        )
        share = self.pick([0.0, 0.4])
        for node in self.nodes:
            for value in node.output:
                if self.chance(share) and value not in outputs and node.op_type != "Constant":
                    known = self.shapes[value]
                    if _is_float(value):
                        graph.value_info.append(helper.make_tensor_value_info(value, kind, known))
        imports = [helper.make_opsetid("", self.opset)]
        return helper.make_model(graph, opset_imports=imports, ir_version=8)

    # Steps that both kinds of networks take.

    def activation(self, x: str) -> str:
        return self.op(self.pick(ACTIVATIONS), [x], self.shapes[x])

    def arithmetic(self, x: str) -> str:
        """A sum or a product with a constant that has some of the axes."""
        shape = self.shapes[x]
        kept = [length if self.chance(0.5) else 1 for length in shape]
        if shape[0] != 1:
            kept[0] = 1
        while kept and kept[0] == 1 and self.chance(0.6):
            kept = kept[1:]
        kind = self.pick(["Add", "Mul", "Sub", "Max", "Min"])
        if self.opset < 8 and kind in ("Max", "Min"):
            kind = "Add"
        operands = [x, self.floats(*kept)]
        return self.op(kind, operands[:: self.pick([1, -1])], shape)

    def clip(self, x: str) -> str:
        if self.opset < 11:
            return self.op("Clip", [x], self.shapes[x], min=-1.0, max=2.0)
        ends = [self.constant(np.array(end, np.float32)) for end in (-1.0, 2.0)]
        return self.op("Clip", [x, *ends], self.shapes[x])

    def dropout(self, x: str) -> str:
        return self.op("Dropout", [x], self.shapes[x])

    def cast(self, x: str) -> str:
        wide = self.op("Cast", [x], self.shapes[x], to=TensorProto.DOUBLE)
        return self.op("Cast", [wide], self.shapes[x], to=TensorProto.FLOAT)

    def where(self, x: str) -> str:
        shape = self.shapes[x]
        if self.opset < 9:
            return x
        positive = self.op("Greater", [x, self.floats(1)], shape)
        return self.op("Where", [positive, x, self.op("Neg", [x], shape)], shape)

    def turned(self, x: str) -> str:
        """There and back, with something between."""
        shape = self.shapes[x]
        perm = [int(i) for i in self.rng.permutation(len(shape))]
        there = self.op("Transpose", [x], [shape[i] for i in perm], perm=perm)
        if self.chance(0.5):
            there = self.activation(there)
        back = [int(i) for i in np.argsort(perm)]
        return self.op("Transpose", [there], shape, perm=back)

    def concat(self, x: str, others: Sequence[str], axis: int) -> str:
        shape = list(self.shapes[x])
        parts = [x, *others]
        shape[axis] = sum(self.shapes[part][axis] for part in parts)
        return self.op("Concat", parts, shape, axis=axis if self.chance(0.5) else axis - len(shape))

    def split(self, x: str, axis: int) -> list[str]:
        shape = list(self.shapes[x])
        length = shape[axis]
        if length < 2:
            return [x]
        even = length % 2 == 0 and self.chance(0.5)
        first = length // 2 if even else self.integer(1, length - 1)
        shapes = [[*shape[:axis], n, *shape[axis + 1 :]] for n in (first, length - first)]
        if even and self.chance(0.5):
            extra = {"num_outputs": 2} if self.opset >= 18 else {}
            return self.ops("Split", [x], shapes, axis=axis, **extra)
        if self.opset < 13:
            return self.ops("Split", [x], shapes, axis=axis, split=[first, length - first])
        return self.ops("Split", [x, self.integers(first, length - first)], shapes, axis=axis)

    def slice(self, x: str, axis: int) -> str:
        shape = list(self.shapes[x])
        start = self.integer(0, shape[axis] - 1)
        end = self.integer(start + 1, shape[axis])
        whole = shape[axis]
        shape[axis] = end - start
        begin = start - whole if self.chance(0.3) else start
        until = 2**31 - 1 if end == whole and self.chance(0.5) else end
        if self.opset < 10:
            return self.op("Slice", [x], shape, starts=[begin], ends=[until], axes=[axis])
        lists = [self.integers(begin), self.integers(until), self.integers(axis)]
        return self.op("Slice", [x, *lists], shape)

    def gather(self, x: str, axis: int) -> str:
        shape = list(self.shapes[x])
        indices = self.rng.permutation(shape[axis])[: self.integer(1, shape[axis])]
        if self.chance(0.3):
            indices = indices - shape[axis] if self.opset >= 11 else indices
        shape[axis] = len(indices)
        return self.op("Gather", [x, self.constant(indices.astype(np.int64))], shape, axis=axis)

    def softmax(self, x: str, axis: int) -> str:
        return self.op("Softmax", [x], self.shapes[x], axis=axis)

    def reduce(self, x: str, axes: Sequence[int], *, keepdims: bool) -> str:
        shape = self.shapes[x]
        kind = self.pick(["ReduceMean", "ReduceMax", "ReduceSum"])
        left = [1 if i in axes else n for i, n in enumerate(shape) if keepdims or i not in axes]
        since = 13 if kind == "ReduceSum" else 18
        if self.opset >= since:
            inputs = [x, self.integers(*axes)]
            return self.op(kind, inputs, left, keepdims=int(keepdims))
        return self.op(kind, [x], left, axes=list(axes), keepdims=int(keepdims))

    def squeeze(self, x: str, axes: Sequence[int], *, back: bool = False) -> str:
        shape = self.shapes[x]
        rank = len(shape) + (len(axes) if back else 0)
        if back:
            left = iter(shape)
            new = [1 if i in axes else next(left) for i in range(rank)]
        else:
            new = [n for i, n in enumerate(shape) if i not in axes]
        kind = "Unsqueeze" if back else "Squeeze"
        if self.opset >= 13:
            return self.op(kind, [x, self.integers(*axes)], new)
        return self.op(kind, [x], new, axes=list(axes))

    def reshape(self, x: str, shape: Sequence[int], *, open_axis: int | None = None) -> str:
        """A constant shape, with -1 and 0 here and there, or one that is computed."""
        numbers = list(shape)
        old = self.shapes[x]
        if open_axis is not None:
            numbers[open_axis] = -1
        zeros = self.chance(0.4)
        for i, n in enumerate(shape):
            if zeros and numbers[i] != -1 and i < len(old) and old[i] == n:
                numbers[i] = 0
        if self.chance(0.3) and numbers[0] != -1 and old[0] == shape[0]:
            return self.op("Reshape", [x, self._computed(x, numbers)], shape)
        return self.op("Reshape", [x, self.integers(*numbers)], shape)

    def _computed(self, x: str, numbers: Sequence[int]) -> str:
        """A shape whose first length is the value's own."""
        rank = len(self.shapes[x])
        shape = self.op("Shape", [x], [rank])
        if self.chance(0.5):
            one = self.op("Gather", [shape, self.integers(0)], [1], axis=0)
        elif self.opset < 10:
            one = self.op("Slice", [shape], [1], starts=[0], ends=[1])
        else:
            one = self.op("Slice", [shape, self.integers(0), self.integers(1)], [1])
        rest = (
            [self.integers(*numbers[1:])]
            if self.chance(0.5)
            else [self.integers(n) for n in numbers[1:]]
        )
        return self.op("Concat", [one, *rest], [len(numbers)], axis=0)


def gemm(net: Network, x: str, outer: int) -> str:
    """A Gemm with attributes, or a MatMul and an Add."""
    rows, inner = self_shape = net.shapes[x]
    if net.chance(0.4):
        made = net.op("MatMul", [x, net.weight(inner, outer, fan=inner)], [rows, outer])
        bias = net.floats(outer)
        return net.op("Add", net.pick([[made, bias], [bias, made]]), [rows, outer])
    assert len(self_shape) == 2
    turned = net.chance(0.5)
    shape = (outer, inner) if turned else (inner, outer)
    inputs = [x, net.weight(*shape, fan=inner)]
    if net.opset < 11 or net.chance(0.7):
        inputs.append(net.floats(*net.pick([[outer], [1, outer], [1]])))
    attributes: dict[str, Any] = {"transB": int(turned)}
    if net.chance(0.3):
        attributes |= {"alpha": 0.5, "beta": 2.0}
    return net.op("Gemm", inputs, [rows, outer], **attributes)


def _is_float(name: str) -> bool:
    return not name.startswith(("shape", "greater", "c", "gather", "slice", "cast", "identity"))


SHARED_STEPS = [
    Network.activation,
    Network.activation,
    Network.arithmetic,
    Network.arithmetic,
    Network.clip,
    Network.dropout,
    Network.cast,
    Network.where,
    Network.turned,
]
