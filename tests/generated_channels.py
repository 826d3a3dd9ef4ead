"""Networks of convolutions and of matrix products, drawn at random, whose channels may go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from builders import Arrays
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
        for node in self.nodes:
            for value in node.output:
                if self.chance(0.2) and value not in outputs and node.op_type != "Constant":
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


class Images(Network):
    """Convolutions and what stands around them; values have shape (batch, channels, …)."""

    def conv(
        self, x: str, outer: int, *, kernel: int | None = None, stride: int = 1, groups: int = 1
    ) -> str:
        batch, channels, *spatial = self.shapes[x]
        rank = len(spatial)
        size = kernel or self.pick([1, 1, 3])
        attributes: dict[str, Any] = {}
        dilation = 2 if size == 3 and min(spatial) > 5 and self.chance(0.2) else 1
        reach = (size - 1) * dilation
        new = [(n - 1) // stride + 1 for n in spatial]
        if size == 1 or stride > 1 or dilation > 1 or self.chance(0.6):
            attributes["pads"] = [reach // 2] * (2 * rank)
        elif self.chance(0.5):
            attributes["auto_pad"] = self.pick(["SAME_UPPER", "SAME_LOWER"])
        elif min(spatial) > 3:
            attributes["auto_pad"] = "VALID"
            new = [n - reach for n in spatial]
        else:
            attributes["pads"] = [1] * (2 * rank)
        if stride > 1:
            attributes["strides"] = [stride] * rank
        if dilation > 1:
            attributes["dilations"] = [dilation] * rank
        if self.chance(0.5):
            attributes["kernel_shape"] = [size] * rank
        if groups > 1 or self.chance(0.2):
            attributes["group"] = groups
        each = channels // groups
        inputs = [x, self.weight(outer, each, *[size] * rank, fan=each * size**rank)]
        if self.chance(0.5):
            inputs.append(self.floats(outer))
        return self.op("Conv", inputs, [batch, outer, *new], **attributes)

    def conv_transpose(self, x: str) -> str:
        batch, channels, *spatial = self.shapes[x]
        rank, stride, size = len(spatial), self.pick([1, 2]), self.pick([1, 2, 3])
        if max(spatial) > 10:
            stride = 1
        groups = self.pick([g for g in (1, 1, 2, channels) if channels % g == 0])
        each = self.integer(1, 4)
        new = [(n - 1) * stride + size for n in spatial]
        inputs = [x, self.weight(channels, each, *[size] * rank, fan=channels // groups * size)]
        if self.chance(0.5):
            inputs.append(self.floats(groups * each))
        attributes = {"strides": [stride] * rank, "group": groups}
        return self.op("ConvTranspose", inputs, [batch, groups * each, *new], **attributes)

    def depthwise(self, x: str) -> str:
        channels = self.shapes[x][1]
        return self.conv(x, channels * self.pick([1, 1, 2]), kernel=3, groups=channels)

    def grouped(self, x: str) -> str:
        channels = self.shapes[x][1]
        options = [g for g in range(2, channels) if channels % g == 0]
        if not options:
            return x
        groups = self.pick(options)
        return self.conv(x, groups * self.integer(1, 3), groups=groups)

    def norm(self, x: str) -> str:
        shape = self.shapes[x]
        channels = shape[1]
        groups = [g for g in range(2, channels) if channels % g == 0]
        if self.opset >= 21 and groups and self.chance(0.3):
            g = self.pick(groups)
            size = channels
            inputs = [x, self.floats(size), self.floats(size)]
            return self.op("GroupNormalization", inputs, shape, num_groups=g)
        if self.chance(0.3):
            inputs = [x, self.floats(channels), self.floats(channels)]
            return self.op("InstanceNormalization", inputs, shape)
        positive = self.constant((self.rng.random(channels) + 0.5).astype(np.float32))
        inputs = [x, *(self.floats(channels) for _ in range(3)), positive]
        return self.op("BatchNormalization", inputs, shape)

    def prelu(self, x: str) -> str:
        shape = self.shapes[x]
        ones = [1] * (len(shape) - 2)
        slope = self.floats(*self.pick([[shape[1], *ones], [1], [1, shape[1], *ones]]))
        return self.op("PRelu", [x, slope], shape)

    def pool(self, x: str) -> str:
        batch, channels, *spatial = self.shapes[x]
        if min(spatial) < 4:
            return x
        rank = len(spatial)
        kind = self.pick(["MaxPool", "AveragePool"])
        attributes = {"kernel_shape": [2] * rank, "strides": [2] * rank}
        return self.op(kind, [x], [batch, channels, *(n // 2 for n in spatial)], **attributes)

    def residual(self, x: str) -> str:
        """A block around which the value goes."""
        shape = self.shapes[x]
        inner = self.conv(x, self.integer(2, 6), kernel=1)
        inner = self.activation(inner)
        inner = self.op(
            "Conv",
            [inner, self.weight(shape[1], self.shapes[inner][1], *[1] * len(shape[2:]), fan=4)],
            shape,
        )
        return self.op("Add", self.pick([[x, inner], [inner, x]]), shape)

    def gate(self, x: str) -> str:
        outer = self.integer(2, 6)
        one, other = self.conv(x, outer, kernel=1), self.conv(x, outer, kernel=1)
        return self.op(
            "Mul", [self.op("Sigmoid", [one], self.shapes[one]), other], self.shapes[one]
        )

    def squeeze_excite(self, x: str) -> str:
        shape = self.shapes[x]
        ones = [1] * len(shape[2:])
        if self.chance(0.5):
            pooled = self.op("GlobalAveragePool", [x], [*shape[:2], *ones])
        else:
            pooled = self.reduce(x, range(2, len(shape)), keepdims=True)
        inner = self.activation(self.conv(pooled, self.integer(2, 4), kernel=1))
        outer = self.op("Sigmoid", [self.conv(inner, shape[1], kernel=1)], [*shape[:2], *ones])
        if self.opset >= 8 and self.chance(0.2):
            outer = self.op("Expand", [outer, self.op("Shape", [x], [len(shape)])], shape)
        elif self.opset >= 8 and self.chance(0.2):
            outer = self.op("Expand", [outer, self.integers(1, *shape[1:])], shape)
        return self.op("Mul", [x, outer], shape)

    def branches(self, x: str) -> str:
        """Two values side by side."""
        return self.concat(x, [self.conv(x, self.integer(2, 5), kernel=1)], 1)

    def halves(self, x: str) -> str:
        parts = self.split(x, 1)
        if len(parts) == 1:
            return x
        if self.chance(0.3) and self.shapes[parts[0]] == self.shapes[parts[1]]:
            return self.op("Mul", parts, self.shapes[parts[0]])
        if self.chance(0.3):
            return parts[0]
        parts[0] = self.activation(parts[0])
        return self.concat(parts[1], [parts[0]], 1)

    def shuffle(self, x: str) -> str:
        batch, channels, *spatial = self.shapes[x]
        options = [g for g in range(2, channels) if channels % g == 0]
        if not options:
            return x
        g = self.pick(options)
        apart = self.reshape(x, [batch, g, channels // g, *spatial])
        perm = [0, 2, 1, *range(3, len(spatial) + 3)]
        moved = self.op("Transpose", [apart], [batch, channels // g, g, *spatial], perm=perm)
        return self.reshape(moved, self.shapes[x])

    def pad(self, x: str) -> str:
        batch, channels, *spatial = self.shapes[x]
        rank = len(spatial)
        pads = [0, 0, *[1] * rank, 0, 0, *[0] * rank]
        shape = [batch, channels, *(n + 1 for n in spatial)]
        if self.opset < 11:
            return self.op("Pad", [x], shape, pads=pads)
        if self.opset >= 18 and self.chance(0.5):
            axes = self.integers(*range(2, 2 + rank))
            return self.op("Pad", [x, self.integers(*[1] * rank, *[0] * rank), "", axes], shape)
        return self.op("Pad", [x, self.integers(*pads)], shape)

    def resize(self, x: str) -> str:
        shape = self.shapes[x]
        batch, channels, *spatial = shape
        new = [batch, channels, *(2 * n for n in spatial)]
        if self.opset < 11 or max(spatial) > 10:
            return x
        empty = self.constant(np.zeros(0, np.float32), plain=True)
        if self.chance(0.4):
            scales = np.array([1, 1, *[2] * len(spatial)], np.float32)
            return self.op("Resize", [x, empty, self.constant(scales)], new, mode="nearest")
        if self.chance(0.5):
            sizes = self.integers(*new)
        else:
            both = self.op("Shape", [x], [len(shape)])
            ends = [self.integers(0), self.integers(2)]
            both = self.op("Slice", [both, *ends], [2])
            sizes = self.op("Concat", [both, self.integers(*new[2:])], [len(new)], axis=0)
        return self.op("Resize", [x, empty, empty, sizes], new, mode="nearest")

    def depth_to_space(self, x: str) -> str:
        batch, channels, *spatial = self.shapes[x]
        if len(spatial) != 2 or channels % 4 or max(spatial) > 8:
            return x
        mode = {"mode": self.pick(["DCR", "CRD"])} if self.opset >= 11 else {}
        shape = [batch, channels // 4, *(2 * n for n in spatial)]
        return self.op("DepthToSpace", [x], shape, blocksize=2, **mode)

    def space_to_depth(self, x: str) -> str:
        batch, channels, *spatial = self.shapes[x]
        if len(spatial) != 2 or channels > 4 or any(n % 2 for n in spatial):
            return x
        shape = [batch, channels * 4, *(n // 2 for n in spatial)]
        return self.op("SpaceToDepth", [x], shape, blocksize=2)

    def tokens(self, x: str) -> str:
        """A product with a matrix over the channels of positions, and back."""
        batch, channels, *spatial = self.shapes[x]
        places = int(np.prod(spatial))
        flat = self.reshape(x, [batch, channels, places], open_axis=self.pick([None, 2]))
        rows = self.op("Transpose", [flat], [batch, places, channels], perm=[0, 2, 1])
        outer = self.integer(2, 6)
        weight = self.weight(channels, outer, fan=channels)
        made = self.op("MatMul", [rows, weight], [batch, places, outer])
        back = self.op("Transpose", [made], [batch, outer, places], perm=[0, 2, 1])
        return self.reshape(back, [batch, outer, *spatial])

    def spatial_softmax(self, x: str) -> str:
        axis = len(self.shapes[x]) - 1
        return self.softmax(x, axis if self.chance(0.9) else 1)

    def head(self, x: str) -> str:
        """Ends in a value of two axes, or in a convolution."""
        batch, channels, *spatial = self.shapes[x]
        if self.chance(0.2):
            return self.conv(x, 3)
        if self.chance(0.5):
            width = channels * int(np.prod(spatial))
            if self.chance(0.5):
                flat = self.op("Flatten", [x], [batch, width])
            else:
                flat = self.reshape(x, [batch, width], open_axis=self.pick([0, 1, None]))
        else:
            pooled = self.reduce(x, range(2, 2 + len(spatial)), keepdims=self.chance(0.5))
            flat, width = pooled, channels
            if len(self.shapes[pooled]) > 2:
                flat = self.squeeze(pooled, range(2, 2 + len(spatial)))
        return gemm(self, gemm(self, flat, self.integer(2, 6)), 3)


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


class Sequences(Network):
    """Matrix products and what stands around them; values have shape (batch, steps, channels)."""

    def linear(self, x: str, outer: int | None = None) -> str:
        *lead, inner = self.shapes[x]
        outer = outer or self.integer(2, 8)
        made = self.op("MatMul", [x, self.weight(inner, outer, fan=inner)], [*lead, outer])
        if self.chance(0.6):
            bias = self.floats(outer)
            made = self.op("Add", self.pick([[made, bias], [bias, made]]), [*lead, outer])
        return made

    def residual(self, x: str) -> str:
        width = self.shapes[x][-1]
        inner = self.linear(self.activation(self.linear(x)), width)
        return self.op("Add", self.pick([[x, inner], [inner, x]]), self.shapes[x])

    def gate(self, x: str) -> str:
        outer = self.integer(2, 6)
        one, other = self.linear(x, outer), self.linear(x, outer)
        shape = self.shapes[one]
        return self.op("Mul", [self.op("Sigmoid", [one], shape), other], shape)

    def norm(self, x: str) -> str:
        if self.opset < 17:
            return x
        inputs = [x, self.floats(self.shapes[x][-1])]
        return self.op("LayerNormalization", inputs, self.shapes[x])

    def halves(self, x: str) -> str:
        parts = self.split(x, 2)
        if len(parts) == 1:
            return x
        if self.shapes[parts[0]] == self.shapes[parts[1]] and self.chance(0.6):
            return self.op("Mul", parts, self.shapes[parts[0]])
        return self.concat(parts[1], [self.activation(parts[0])], 2)

    def branches(self, x: str) -> str:
        return self.concat(x, [self.linear(x)], 2)

    def rows(self, x: str) -> str:
        """A Gemm of all steps as rows."""
        batch, steps, width = self.shapes[x]
        flat = self.reshape(x, [batch * steps, width], open_axis=0)
        made = gemm(self, flat, self.integer(2, 6))
        return self.reshape(made, [batch, steps, self.shapes[made][1]], open_axis=0)

    def mix(self, x: str) -> str:
        """A product with a constant on the left, over the steps."""
        batch, steps, width = self.shapes[x]
        weight = self.floats(steps, steps, scale=0.5)
        return self.op("MatMul", [weight, x], [batch, steps, width])

    def attention(self, x: str) -> str:
        batch, steps, _ = self.shapes[x]
        heads, each = self.integer(2, 3), self.integer(1, 3)
        width = heads * each
        parts = [self.linear(x, width) for _ in range(3)]
        split = [self.reshape(p, [batch, steps, heads, each]) for p in parts]
        perms = ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3])
        q, k, v = (
            self.op("Transpose", [s], [self.shapes[s][i] for i in perm], perm=perm)
            for s, perm in zip(split, perms, strict=True)
        )
        scores = self.op("MatMul", [q, k], [batch, heads, steps, steps])
        if self.chance(0.3):
            scores = self.op("Add", [scores, self.floats(heads, 1, 1)], self.shapes[scores])
        weights = self.softmax(scores, 3)
        mixed = self.op("MatMul", [weights, v], [batch, heads, steps, each])
        perm = [0, 2, 1, 3]
        back = self.op("Transpose", [mixed], [batch, steps, heads, each], perm=perm)
        flat = self.reshape(back, [batch, steps, width], open_axis=self.pick([None, 2]))
        return self.linear(flat)

    def mean(self, x: str) -> str:
        """The mean of all steps, given to each."""
        pooled = self.reduce(x, [1], keepdims=True)
        return self.op("Sub", [x, pooled], self.shapes[x])

    def head(self, x: str) -> str:
        if self.chance(0.5):
            return self.linear(x, 3)
        batch, steps, width = self.shapes[x]
        if self.chance(0.5):
            flat = self.reshape(x, [batch, steps * width], open_axis=self.pick([None, 1]))
        else:
            flat = self.reduce(x, [1], keepdims=False)
        return gemm(self, flat, 3)


def generated(seed: int, opset: int) -> tuple[onnx.ModelProto, Arrays]:
    """A network, and what it is fed with."""
    net: Any
    draw = np.random.default_rng([seed, 1])
    if draw.random() < 0.6:
        net = Images(seed, opset)
        spatial = [8] * int(draw.integers(1, 3))
        shape: Shape = (2, int(draw.integers(2, 5)), *spatial)
        steps = _IMAGE_STEPS
    else:
        net = Sequences(seed, opset)
        shape = (2, int(draw.integers(2, 5)), int(draw.integers(3, 7)))
        steps = _SEQUENCE_STEPS
    net.shapes["x"] = shape
    x = net.conv("x", net.integer(3, 8)) if isinstance(net, Images) else net.linear("x")
    seen = [x]
    for _ in range(net.integer(3, 9)):
        step: Callable[[Any, str], str] = net.pick(steps)
        x = step(net, x if net.chance(0.85) else net.pick(seen))
        seen.append(x)
    outputs = [net.head(x)]
    if net.chance(0.15):
        outputs.append(net.op("Identity", [net.pick(seen)], net.shapes[x]))
        net.shapes[outputs[1]] = net.shapes[net.nodes[-1].input[0]]
    declared: list[Any] = ["n", *shape[1:]]
    proto = net.model(shape, declared, outputs)
    return proto, {"x": net.rng.standard_normal(shape).astype(np.float32)}


def _is_float(name: str) -> bool:
    return not name.startswith(("shape", "greater", "c", "gather", "slice", "cast", "identity"))


def _conv(net: Images, x: str) -> str:
    return net.conv(x, net.integer(2, 8), stride=2 if net.chance(0.1) else 1)


_SHARED = [
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
_IMAGE_STEPS = [
    *_SHARED,
    _conv,
    _conv,
    _conv,
    Images.conv_transpose,
    Images.depthwise,
    Images.depthwise,
    Images.grouped,
    Images.norm,
    Images.norm,
    Images.prelu,
    Images.pool,
    Images.residual,
    Images.residual,
    Images.gate,
    Images.squeeze_excite,
    Images.squeeze_excite,
    Images.branches,
    Images.halves,
    Images.shuffle,
    Images.pad,
    Images.resize,
    Images.depth_to_space,
    Images.space_to_depth,
    Images.tokens,
    Images.spatial_softmax,
    lambda net, x: net.slice(x, 1),
    lambda net, x: net.gather(x, 1),
]
_SEQUENCE_STEPS = [
    *_SHARED,
    Sequences.linear,
    Sequences.linear,
    Sequences.linear,
    Sequences.residual,
    Sequences.residual,
    Sequences.gate,
    Sequences.norm,
    Sequences.halves,
    Sequences.branches,
    Sequences.rows,
    Sequences.mix,
    Sequences.attention,
    Sequences.attention,
    Sequences.mean,
    lambda net, x: net.slice(x, 2),
    lambda net, x: net.gather(x, 2),
]
