"""Operators with many options, drawn at random, against onnxruntime.

Where the two would differ, the executor refuses: a refusal is no failure here, a value is.
"""

from __future__ import annotations

import collections

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest

torch = pytest.importorskip("torch")

from onnx_factorize.torch import UnsupportedError, to_torch  # noqa: E402
from onnx_factorize.torch.check import deviation  # noqa: E402

DRAWS = 25


class Draw:
    """Random options."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)

    def normal(self, *shape):
        return self.rng.standard_normal(shape).astype(np.float32)

    def int(self, low, high):
        return int(self.rng.integers(low, high + 1))

    def ints(self, count, low, high):
        return [self.int(low, high) for _ in range(count)]

    def one(self, *values):
        return values[self.rng.integers(len(values))]

    def some(self, value):
        return value if self.rng.random() < 0.5 else None


def windows(d):
    rank = d.int(1, 3)
    kernel, strides = d.ints(rank, 1, 3), d.ints(rank, 1, 3)
    options = {"kernel_shape": kernel, "strides": strides}
    mode = d.one("NOTSET", "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")
    if mode == "NOTSET":
        options["pads"] = [d.int(0, k - 1) for k in kernel * 2]
        options["dilations"] = d.ints(rank, 1, 2)
    else:
        options["auto_pad"] = mode
    return rank, d.ints(rank, 7, 10), options


def conv(d):
    _, size, options = windows(d)
    group = d.int(1, 2)
    weight = d.normal(3 * group, 2, *options["kernel_shape"])
    inputs = [d.normal(2, 2 * group, *size), weight, d.some(d.normal(3 * group))]
    return "Conv", inputs, {**options, "group": group}, 1


def conv_transpose(d):
    _, size, options = windows(d)
    if d.int(0, 1):
        options["output_padding"] = [d.int(0, stride - 1) for stride in options["strides"]]
    inputs = [d.normal(1, 2, *size), d.normal(2, 3, *options["kernel_shape"]), d.some(d.normal(3))]
    return "ConvTranspose", inputs, options, 1


def pool(d):
    _, size, options = windows(d)
    name = d.one("MaxPool", "AveragePool", "LpPool")
    options["ceil_mode"] = 0 if "SAME" in options.get("auto_pad", "") else d.int(0, 1)
    if name == "AveragePool":
        options["count_include_pad"] = d.int(0, 1)
    if name == "LpPool":
        options["p"] = d.int(1, 3)
    return name, [d.normal(2, 2, *size)], options, 2 if name == "MaxPool" else 1


def resize(d):
    rank, mode = d.int(1, 2), d.one("nearest", "linear", "cubic")
    size = d.ints(rank, 2, 7)
    options = {
        "mode": mode,
        "coordinate_transformation_mode": d.one(
            "half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric",
            "half_pixel_symmetric", "tf_crop_and_resize",
        ),
    }  # fmt: skip
    if mode == "nearest":
        options["nearest_mode"] = d.one("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
    if mode == "cubic":
        options |= {"cubic_coeff_a": d.one(-0.5, -0.75), "exclude_outside": d.int(0, 1)}
    roi = None
    if options["coordinate_transformation_mode"] == "tf_crop_and_resize":
        roi = np.array([0, 0, *[0.1] * rank, 1, 1, *[0.8] * rank], np.float32)
    elif mode != "nearest":
        options["antialias"] = d.int(0, 1)
    scales = np.array([1, 1, *(d.one(0.5, 0.6, 1, 1.5, 2.7) for _ in size)], np.float32)
    return "Resize", [d.normal(1, 2, *size), roi, scales], options, 1


def recurrent(d):
    name, gates = d.one(("RNN", 1), ("GRU", 3), ("LSTM", 4))
    time, hidden = d.int(1, 4), d.int(1, 3)
    way = d.one("forward", "reverse", "bidirectional")
    n = 2 if way == "bidirectional" else 1
    inputs = [
        d.normal(time, 2, 3),
        d.normal(n, gates * hidden, 3),
        d.normal(n, gates * hidden, hidden),
        d.some(d.normal(n, 2 * gates * hidden)),
        d.some(d.rng.integers(1, time + 1, (2,)).astype(np.int32)),
        d.some(d.normal(n, 2, hidden)),
    ]
    options = {"hidden_size": hidden, "direction": way}
    if name == "LSTM":
        inputs += [d.some(d.normal(n, 2, hidden)), d.some(d.normal(n, 3 * hidden))]
    if name == "GRU":
        options["linear_before_reset"] = d.int(0, 1)
    if d.int(0, 1):
        options["clip"] = 0.5
    return name, inputs, options, 3 if name == "LSTM" else 2


def slices(d):
    x = d.normal(*d.ints(3, 2, 4))
    bounds = [np.array(d.ints(2, -6, 6)), np.array(d.ints(2, -7, 7))]
    steps = np.array([d.one(1, 2, -1, -2), d.one(1, 3, -1, -3)])
    return "Slice", [x, *bounds, np.array([0, 2]), steps], {}, 1


def pads(d):
    x = d.normal(*d.ints(3, 2, 4))
    mode = d.one("constant", "reflect", "edge", "wrap")
    amounts = d.ints(6, -1, 2) if mode == "constant" else d.ints(6, 0, 1)
    return "Pad", [x, np.array(amounts)], {"mode": mode}, 1


def reductions(d):
    name = d.one("Sum", "Mean", "Max", "Min", "Prod", "L1", "L2", "LogSumExp", "SumSquare")
    x = (3 * d.normal(2, 3, 4)).astype(d.one(np.float32, np.int32))
    axes = d.one(None, np.array([0]), np.array([-1, 0]))
    options = {"keepdims": d.int(0, 1), "noop_with_empty_axes": d.int(0, 1)}
    return f"Reduce{name}", [x, axes], options, 1


def scatters(d):
    x = d.normal(3, 4, 2)
    reduction = d.one("add", "mul", "max", "min")
    if d.int(0, 1):
        inputs = [x, d.rng.integers(-2, 2, (5, 2)), d.normal(5, 2)]
        return "ScatterND", inputs, {"reduction": reduction}, 1
    inputs = [x, d.rng.integers(-2, 2, x.shape), d.normal(*x.shape)]
    return "ScatterElements", inputs, {"reduction": reduction, "axis": d.int(-3, 2)}, 1


def grids(d):
    options = {
        "mode": d.one("linear", "nearest", "cubic"),
        "padding_mode": d.one("zeros", "border", "reflection"),
        "align_corners": d.int(0, 1),
    }
    return "GridSample", [d.normal(2, 2, 4, 5), d.normal(2, 3, 2, 2)], options, 1


def boxes(d):
    corners = np.sort(4 * d.rng.random((6, 2, 2)), 1).reshape(6, 4).astype(np.float32)
    options = {
        "output_height": d.int(1, 3),
        "output_width": d.int(1, 3),
        "sampling_ratio": d.int(0, 2),
        "coordinate_transformation_mode": d.one("half_pixel", "output_half_pixel"),
    }
    return "RoiAlign", [d.normal(2, 3, 5, 6), corners, d.rng.integers(0, 2, (6,))], options, 1


KINDS = (
    conv, conv_transpose, pool, resize, recurrent, slices, pads, reductions, scatters, grids, boxes,
)  # fmt: skip


def make(name, inputs, options, outputs):
    while inputs[-1] is None:
        inputs = inputs[:-1]
    names = ["" if value is None else f"x{i}" for i, value in enumerate(inputs)]
    feeds = {name: value for name, value in zip(names, inputs, strict=True) if name}
    results = [f"y{i}" for i in range(outputs)]
    node = onnx.helper.make_node(name, names, results, **options)
    graph = onnx.helper.make_graph(
        [node],
        "g",
        [
            onnx.helper.make_tensor_value_info(
                key, onnx.helper.np_dtype_to_tensor_dtype(value.dtype), [None] * value.ndim
            )
            for key, value in feeds.items()
        ],
        [onnx.ValueInfoProto(name=result) for result in results],
    )
    imports = [onnx.helper.make_opsetid("", 20)]
    return onnx.helper.make_model(graph, opset_imports=imports, ir_version=9), feeds


@pytest.mark.parametrize("kind", KINDS)
def test_random_options(kind):
    counts = collections.Counter()
    for seed in range(DRAWS):
        case = kind(Draw(seed))
        proto, feeds = make(*case)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = 1
        try:
            inferred = onnx.shape_inference.infer_shapes(proto)
            session = onnxruntime.InferenceSession(inferred.SerializeToString(), options)
            expected = session.run(None, feeds)
        except Exception:
            counts["not run by onnxruntime"] += 1
            continue
        try:
            outputs = to_torch(ir.from_proto(proto)).run(feeds).outputs
        except UnsupportedError:
            counts["refused"] += 1
            continue
        counts["same"] += 1
        for found, value in zip(outputs.values(), expected, strict=True):
            assert found.numpy().dtype == value.dtype, (seed, case)
            assert deviation(found.numpy(), value) < 2e-5, (seed, case)
    assert counts["same"] > DRAWS // 3, counts
