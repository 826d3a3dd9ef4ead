"""Rules of convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir

from onnx_factorize.graph.auto_pad import halves, same_total
from onnx_factorize.passes.adjoint.emission.errors import NoRuleError
from onnx_factorize.passes.adjoint.registry import Cotangents, rule
from onnx_factorize.passes.adjoint.step import Step


@dataclass
class Window:
    """A sliding window's attributes, one entry a spatial axis.

    Automatic padding of a dynamic size is None: `start` computes it at run time.
    """

    kernel: list[int]
    strides: list[int]
    dilations: list[int]
    before: list[int | None]
    after: list[int | None]
    mode: str = "NOTSET"

    @property
    def reach(self) -> list[int]:
        """The distance from a window's first to its last element, d (k - 1)."""
        return [d * (k - 1) for d, k in zip(self.dilations, self.kernel, strict=True)]

    @property
    def pads(self) -> list[int]:
        """The padding as an attribute, 0 where it is known at run time only."""
        return [pad or 0 for pad in (*self.before, *self.after)]


def window(s: Step, kernel: Sequence[int], x: ir.Value) -> Window:
    """Read a window's attributes, with automatic padding resolved where sizes are static."""
    spatial = len(kernel)
    ones = [1] * spatial
    strides, dilations = s.integers("strides") or ones, s.integers("dilations") or ones
    pads = s.integers("pads") or [0] * (2 * spatial)
    mode = s.string("auto_pad", "NOTSET")
    found = Window(list(kernel), strides, dilations, [*pads[:spatial]], [*pads[spatial:]], mode)
    if mode == "VALID":
        found.before, found.after = [0] * spatial, [0] * spatial
    elif mode.startswith("SAME"):
        found.before, found.after = [], []
        for i, reach in enumerate(found.reach):
            size = s.facts.static(x, i + 2)
            if size is not None:
                total = same_total(size, reach + 1, strides[i])
            elif strides[i] == 1:
                total = reach
            else:
                found.before.append(None)
                found.after.append(None)
                continue
            before, after = halves(total, mode)
            found.before.append(before)
            found.after.append(after)
    return found


def _kernel(s: Step, weight: ir.Value) -> list[int]:
    kernel = s.integers("kernel_shape")
    if kernel is None:
        rank = s.rank(weight)
        kernel = [size for i in range(2, rank) if (size := s.facts.static(weight, i)) is not None]
        if len(kernel) != rank - 2:
            raise NoRuleError("a kernel of unknown size")
    return kernel


@rule("Conv")
def _conv(s: Step) -> Cotangents:
    """x̄ is the transposed convolution of ȳ.

    At stride 1 that is a convolution with the kernel flipped and its channels exchanged, which
    onnxruntime runs faster (in its blocked layout, and depthwise too) than ConvTranspose.
    """
    e, x, weight = s.e, s.x(0), s.x(1)
    s.refuse_gradient(1)
    terms: dict[int, ir.Value] = {}
    if s.needs(2):
        axes = [0, *range(2, s.rank(x))]
        terms[2] = e.reduce_sum(s.g, axes, keepdims=False)
    if not s.needs(0):
        return terms
    w = window(s, _kernel(s, weight), x)
    group = s.integer("group", 1)
    pads = [r - p for r, p in zip(w.reach * 2, w.pads, strict=True)]
    plain = all(stride == 1 for stride in w.strides) and min(pads, default=0) >= 0
    if plain and (e.opset >= 10 or max(w.kernel) == 1):
        turned = _turned(s, weight, group)
        terms[0] = e.op(
            "Conv",
            s.g,
            turned,
            kernel_shape=w.kernel,
            strides=w.strides,
            dilations=w.dilations,
            pads=pads,
            group=group,
        )
    else:
        terms[0] = scattered(s, s.g, weight, w, group)
    return terms


def _turned(s: Step, weight: ir.Value, group: int) -> ir.Value:
    """Return W[o, i, k] as W[i, o, -k] in each group (onnxruntime folds it into a constant)."""
    e = s.e
    rank = s.rank(weight)
    out, inner = s.facts.static(weight, 0), s.facts.static(weight, 1)
    spatial = list(range(2, rank))
    kernel = [s.facts.static(weight, i) for i in spatial]
    flipped = e.flip(weight, [i for i, k in zip(spatial, kernel, strict=True) if k != 1])
    if group == 1:
        return e.transpose(flipped, [1, 0, *spatial])
    if out is None or inner is None or None in kernel:
        raise NoRuleError("grouped weights of unknown shape")
    if out == group and inner == 1:
        return flipped
    sizes = [k for k in kernel if k is not None]
    split = e.reshape(flipped, [group, out // group, inner, *sizes])
    moved = e.transpose(split, [0, 2, 1, *range(3, rank + 1)])
    return e.reshape(moved, [group * inner, out // group, *sizes])


def scattered(s: Step, g: ir.Value, weight: ir.Value, w: Window, group: int = 1) -> ir.Value:
    """Transposed convolution to x's spatial size: what no window reached stays zero at the end."""
    e, x = s.e, s.x(0)
    spatial = len(w.kernel)
    rest: list[int] = []
    exact = None not in w.before
    for i, stride in enumerate(w.strides):
        size, before, after = s.facts.static(x, i + 2), w.before[i], w.after[i]
        if stride == 1:
            rest.append(0)
        elif size is not None and before is not None and after is not None:
            rest.append((size + before + after - w.reach[i] - 1) % stride)
        else:
            rest.append(stride - 1)
            exact = False
    y = e.op(
        "ConvTranspose",
        g,
        weight,
        kernel_shape=w.kernel,
        strides=w.strides,
        dilations=w.dilations,
        pads=w.pads,
        output_padding=rest,
        group=group,
    )
    if exact:
        return y
    axes = list(range(2, 2 + spatial))
    sizes = e.slice(e.shape(x), [2], [2 + spatial], [0])
    if None not in w.before:
        return e.slice(y, e.ints([0] * spatial), sizes, axes)
    first = _starts(s, w, sizes)
    return e.slice(y, first, e.add(first, sizes), axes)


def _starts(s: Step, w: Window, sizes: ir.Value) -> ir.Value:
    """The place of x in what its windows cover: behind automatic padding, else at the beginning."""
    e = s.e
    strides, one = e.ints(w.strides), e.ints([1])
    windows = e.div(e.sub(e.add(sizes, strides), one), strides)
    covered = e.add(e.mul(e.sub(windows, one), strides), e.ints([reach + 1 for reach in w.reach]))
    # Division rounds toward zero, and the larger half of an odd padding is rounded up.
    half = e.add(e.sub(covered, sizes), e.ints([int(w.mode == "SAME_LOWER")]))
    numbers = e.op("Relu", e.cast(e.div(half, e.ints([2])), ir.DataType.FLOAT))
    automatic = e.ints([int(before is None) for before in w.before])
    return e.mul(e.cast(numbers, ir.DataType.INT64), automatic)


@rule("ConvTranspose")
def _conv_transpose(s: Step) -> Cotangents:
    """x̄ is the convolution of ȳ with the same weights, in which ȳ is padded to what it needs."""
    e, x, weight = s.e, s.x(0), s.x(1)
    s.refuse_gradient(1)
    terms: dict[int, ir.Value] = {}
    if s.needs(2):
        axes = [0, *range(2, s.rank(x))]
        terms[2] = e.reduce_sum(s.g, axes, keepdims=False)
    if not s.needs(0):
        return terms
    if s.integers("output_shape") is not None or s.string("auto_pad", "NOTSET").startswith("SAME"):
        raise NoRuleError("padding given by the output's shape")
    w = window(s, _kernel(s, weight), x)
    extra = s.integers("output_padding") or [0] * len(w.kernel)
    # Forward, y's size is (n - 1) stride + reach + 1 - before - after + extra. A convolution over
    # y with `before` and `after - extra` in front and behind has exactly n windows.
    before, after = w.pads[: len(w.kernel)], w.pads[len(w.kernel) :]
    behind = [a - o for a, o in zip(after, extra, strict=True)]
    g = s.g
    if min(behind, default=0) < 0:
        crop = [0] * (4 + len(behind)) + [min(b, 0) for b in behind]
        g = e.pad(g, crop)
        behind = [max(b, 0) for b in behind]
    terms[0] = e.op(
        "Conv",
        g,
        weight,
        kernel_shape=w.kernel,
        strides=w.strides,
        dilations=w.dilations,
        pads=[*before, *behind],
        group=s.integer("group", 1),
    )
    return terms
