"""Rules of convolutions, pooling and resampling."""

import numpy as np
import pytest
import torch
from adjoint_harness import Adjoint, check, normal, parse, spaced

torch.set_num_threads(1)

CONVOLUTIONS = [
    # kernel, stride, pads, dilation, group, channels in, channels out
    ((3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 1, 4, 6),
    ((3, 3), (2, 2), (1, 1, 1, 1), (1, 1), 1, 4, 6),
    ((3, 3), (2, 2), (0, 0, 1, 1), (1, 1), 1, 4, 6),
    ((1, 1), (1, 1), (0, 0, 0, 0), (1, 1), 1, 4, 6),
    ((1, 1), (2, 2), (0, 0, 0, 0), (1, 1), 1, 4, 6),
    ((3, 3), (1, 1), (2, 2, 2, 2), (2, 2), 1, 4, 6),
    ((3, 5), (1, 1), (1, 2, 1, 2), (1, 1), 4, 4, 4),
    ((3, 3), (2, 2), (1, 1, 1, 1), (1, 1), 4, 4, 8),
    ((3, 3), (1, 1), (0, 1, 2, 0), (1, 1), 2, 4, 6),
    ((2, 2), (3, 3), (0, 0, 0, 0), (1, 1), 1, 4, 6),
    ((3, 3), (1, 1), (3, 3, 3, 3), (1, 1), 1, 4, 6),
    ((7, 7), (2, 2), (3, 3, 3, 3), (1, 1), 1, 3, 5),
]


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("opset", [10, 18])
@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_convolution(case: tuple, opset: int, dynamic: bool) -> None:
    kernel, stride, pads, dilation, group, inner, outer = case
    weight = normal(outer, inner // group, *kernel, seed=5)
    values = ", ".join(f"{v:.6f}" for v in weight.reshape(-1))
    for height, width in ((9, 8), (7, 12)):
        spatial = "H, W" if dynamic else f"{height}, {width}"
        text = f"""(float[N, {inner}, {spatial}] x) => (float[N, {outer}, A, B] y)
            <float[{", ".join(map(str, weight.shape))}] w = {{{values}}}> {{
            y = Conv <strides = {list(stride)}, pads = {list(pads)}, dilations = {list(dilation)},
            group = {group}, kernel_shape = {list(kernel)}> (x, w) }}"""
        adjoint = Adjoint(parse(text, opset), ["x"])
        assert not adjoint.step.unreachable
        x = torch.tensor(normal(2, inner, height, width), dtype=torch.float64, requires_grad=True)
        top, left, bottom, right = pads
        padded = torch.nn.functional.pad(x, (left, right, top, bottom))
        filters = torch.tensor(np.round(weight.astype(np.float64), 6))
        y = torch.nn.functional.conv2d(padded, filters, None, stride, 0, dilation, group)
        g = normal(*y.shape, seed=9)
        (truth,) = torch.autograd.grad(y, x, torch.tensor(g, dtype=torch.float64))
        (found,) = adjoint.run({"x": x.detach().numpy().astype(np.float32)}, {"y": g})
        assert np.linalg.norm(found - truth.numpy()) < 1e-5 * np.linalg.norm(truth.numpy())


@pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER", "VALID"])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("width", [5, 6])
@pytest.mark.parametrize("dynamic", [False, True])
def test_automatic_padding(mode: str, stride: int, width: int, dynamic: bool) -> None:
    values = ", ".join(f"{v:.4f}" for v in normal(2 * 2 * 4))
    size = "W" if dynamic else width
    text = f"""(float[N, 2, {size}] x) => (float[N, 2, A] y) <float[2, 2, 4] w = {{{values}}}> {{
        y = Conv <auto_pad = "{mode}", strides = [{stride}], kernel_shape = [4]> (x, w) }}"""
    check(text, {"x": normal(1, 2, width)}, single=True, h=1e-2, tolerance=1e-3)


def test_bias_of_a_convolution() -> None:
    text = """(float[N, 2, 3, 3] x, float[2] b) => (float[N, 2, 3, 3] y)
        <float[2, 2, 1, 1] w = {1.0, 2.0, 3.0, 4.0}> { y = Conv (x, w, b) }"""
    check(text, {"x": normal(2, 2, 3, 3), "b": normal(2)}, single=True, h=1e-2, tolerance=1e-3)


@pytest.mark.parametrize("pads", [(0, 0), (1, 0), (1, 2)])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("extra", [0, 1])
@pytest.mark.parametrize("group", [1, 2])
def test_transposed_convolution(pads: tuple[int, int], stride: int, extra: int, group: int) -> None:
    if extra >= stride:
        pytest.skip("the output padding must be below the stride")
    values = ", ".join(f"{v:.4f}" for v in normal(2 * 4 * 3 // group))
    text = f"""(float[N, 2, L] x) => (float[N, 4, A] y)
        <float[2, {4 // group}, 3] w = {{{values}}}> {{
        y = ConvTranspose <strides = [{stride}], pads = {list(pads)}, group = {group},
        output_padding = [{extra}]> (x, w) }}"""
    check(text, {"x": normal(2, 2, 5)}, single=True, h=1e-2, tolerance=1e-3)


POOLS = [
    "y = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (x)",
    "y = MaxPool <kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]> (x)",
    "y = MaxPool <kernel_shape = [3, 2], strides = [1, 1]> (x)",
    "y = MaxPool <kernel_shape = [2, 2], strides = [2, 2], ceil_mode = 1> (x)",
    "y = AveragePool <kernel_shape = [2, 2], strides = [2, 2]> (x)",
    "y = AveragePool <kernel_shape = [3, 3], strides = [1, 1], pads = [1, 1, 1, 1]> (x)",
    "y = AveragePool <kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]> (x)",
    (
        "y = AveragePool <kernel_shape = [3, 3], strides = [2, 2], pads = [1, 0, 1, 0], "
        "count_include_pad = 1> (x)"
    ),
    'y = MaxPool <kernel_shape = [3, 4], strides = [2, 3], auto_pad = "SAME_UPPER"> (x)',
    'y = MaxPool <kernel_shape = [3, 3], strides = [2, 2], auto_pad = "SAME_LOWER"> (x)',
    'y = AveragePool <kernel_shape = [3, 4], strides = [2, 3], auto_pad = "SAME_LOWER"> (x)',
    'y = AveragePool <kernel_shape = [2, 3], strides = [2, 2], auto_pad = "SAME_UPPER"> (x)',
    "y = GlobalAveragePool (x)",
    "y = GlobalMaxPool (x)",
]


@pytest.mark.parametrize("node", POOLS)
@pytest.mark.parametrize("opset", [7, 12, 18])
@pytest.mark.parametrize(("kind", "size"), [("5, 6", (5, 6)), ("H, W", (5, 6)), ("H, W", (4, 7))])
def test_pool(node: str, opset: int, kind: str, size: tuple[int, int]) -> None:
    if opset < 10 and ("ceil_mode" in node or ("strides = [2" in node and "H" in kind)):
        pytest.skip("needs Slice at run time, or is younger")
    text = f"(float[N, 2, {kind}] x) => (float[N, 2, A, B] y) {{ {node} }}"
    check(text, {"x": spaced(2, 2, *size)}, opset=opset, single=True, h=5e-3, tolerance=2e-3)


RESIZES = [
    (
        'y = Resize <mode = "nearest", coordinate_transformation_mode = "asymmetric", '
        'nearest_mode = "floor"> (x, roi, two)'
    ),
    'y = Resize <mode = "nearest"> (x, roi, two)',
    'y = Resize <mode = "nearest"> (x, roi, three)',
    'y = Resize <mode = "nearest", coordinate_transformation_mode = "asymmetric"> (x, roi, three)',
    'y = Resize <mode = "nearest"> (x, roi, odd)',
    'y = Resize <mode = "linear"> (x, roi, two)',
    'y = Resize <mode = "linear", coordinate_transformation_mode = "align_corners"> (x, roi, odd)',
    (
        'y = Resize <mode = "linear", coordinate_transformation_mode = "pytorch_half_pixel"> '
        "(x, roi, odd)"
    ),
    'y = Resize <mode = "cubic"> (x, roi, two)',
    'y = Resize <mode = "linear"> (x, roi, roi, sizes)',
]


@pytest.mark.parametrize("node", RESIZES)
@pytest.mark.parametrize("opset", [11, 13, 18])
@pytest.mark.parametrize(("kind", "size"), [("3, 4", (3, 4)), ("H, W", (3, 4)), ("H, W", (4, 5))])
def test_resize(node: str, opset: int, kind: str, size: tuple[int, int]) -> None:
    text = f"""(float[N, 2, {kind}] x) => (float[N, 2, A, B] y) <float[0] roi = {{}},
        float[4] two = {{1.0, 1.0, 2.0, 2.0}}, float[4] three = {{1.0, 1.0, 3.0, 2.0}},
        float[4] odd = {{1.0, 1.0, 1.7, 0.6}}, int64[4] sizes = {{1, 2, 5, 3}}> {{ {node} }}"""
    check(text, {"x": normal(1, 2, *size)}, opset=opset, single=True, h=1e-2, tolerance=2e-3)


def test_upsample() -> None:
    text = """(float[N, 2, H, W] x) => (float[N, 2, A, B] y)
        <float[4] two = {1.0, 1.0, 2.0, 2.0}> { y = Upsample <mode = "nearest"> (x, two) }"""
    check(text, {"x": normal(1, 2, 3, 2)}, opset=9, single=True, h=1e-2, tolerance=2e-3)
