"""Convolutional networks, drawn at random."""

from __future__ import annotations

from typing import Any

import numpy as np
from generated_network import SHARED_STEPS, Network, gemm


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


def _conv(net: Images, x: str) -> str:
    return net.conv(x, net.integer(2, 8), stride=2 if net.chance(0.1) else 1)


IMAGE_STEPS = [
    *SHARED_STEPS,
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
