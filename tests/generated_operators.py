"""Linear operators with a constant weight, drawn at random with all of their attributes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnx.helper
from builders import Array, normal
from hypothesis import strategies as st

MICROSOFT = "com.microsoft"


@dataclasses.dataclass
class Operator:
    """One operator that reads `x` and `w`, and perhaps constants of its own, and gives `y`."""

    node: onnx.NodeProto
    x: tuple[int, ...]
    weight: tuple[int, ...]
    matrices: Callable[[Array], Array]  # weight to (groups, K, N)
    back: Callable[[Array], Array]  # the inverse
    constants: dict[str, Array] = dataclasses.field(default_factory=dict)
    opset: int = 7
    types: tuple[Any, ...] = (np.float32, np.float64, np.float16)
    indices: int = 0  # x holds indices below it


def _node(op_type: str, *inputs: str, domain: str = "", **attributes: Any) -> onnx.NodeProto:
    return onnx.helper.make_node(op_type, list(inputs), ["y"], domain=domain, **attributes)


def _plain(w: Array) -> Array:
    return w[None]


def _first(m: Array) -> Array:
    return m[0]


def _swap(w: Array) -> Array:
    return w.T[None]


def _swap_back(m: Array) -> Array:
    return m[0].T


SIZES = st.integers(4, 7)
LEAD = st.lists(st.integers(1, 3), max_size=2).map(tuple)


@st.composite
def matmul(draw):
    k, n = draw(SIZES), draw(SIZES)
    lead = draw(st.lists(st.integers(1, 3), max_size=3).map(tuple))
    return Operator(_node("MatMul", "x", "w"), (*lead, k), (k, n), _plain, _first)


@st.composite
def left_matmul(draw):
    m, k, columns = draw(SIZES), draw(SIZES), draw(st.integers(1, 4))
    x = (*draw(LEAD), k, columns)
    return Operator(_node("MatMul", "w", "x"), x, (m, k), _swap, _swap_back)


@st.composite
def batched_matmul(draw):
    k, n, m = draw(SIZES), draw(SIZES), draw(st.integers(1, 4))
    batch = draw(st.lists(st.integers(1, 3), min_size=1, max_size=2).map(tuple))
    batch = (*(1 for _ in range(draw(st.integers(0, 1)))), *batch)
    if any(a > 1 and 1 in batch[i:] for i, a in enumerate(batch)):
        batch = tuple(sorted(batch))
    lead = draw(st.sampled_from([(), (1,), batch, (*batch[:-1], 1), (2, *batch)]))
    return Operator(
        _node("MatMul", "x", "w"),
        (*lead, m, k),
        (*batch, k, n),
        lambda w: w.reshape(-1, k, n),
        lambda mats: mats.reshape(*batch, k, n),
        opset=8,
    )


@st.composite
def left_stack(draw):
    m, k, columns = draw(SIZES), draw(SIZES), draw(st.integers(1, 4))
    batch = draw(st.sampled_from([(1,), (2,), (3,), (1, 2), (2, 3)]))
    lead = draw(st.sampled_from([(), (1,), batch, (*batch[:-1], 1), (2, *batch)]))
    return Operator(
        _node("MatMul", "w", "x"),
        (*lead, k, columns),
        (*batch, m, k),
        lambda w: w.reshape(-1, m, k).transpose(0, 2, 1),
        lambda mats: mats.transpose(0, 2, 1).reshape(*batch, m, k),
        opset=8,
    )


def _gemm_attributes(draw, trans: str) -> dict[str, Any]:
    attributes = {trans: draw(st.integers(0, 1))}
    for name in ("alpha", "beta"):
        if draw(st.booleans()):
            attributes[name] = draw(st.sampled_from([0.5, -1.5, 2.0]))
    return attributes


@st.composite
def gemm(draw, fused=False):
    k, n, m = draw(SIZES), draw(SIZES), draw(st.integers(1, 4))
    attributes = _gemm_attributes(draw, "transA")
    turned = attributes["transB"] = draw(st.integers(0, 1))
    c = draw(st.sampled_from([None, (), (1,), (n,), (1, n), (m, n), (m, 1)]))
    alpha = attributes.get("alpha", 1.0)
    constants, inputs = {}, ["x", "w"]
    if c is not None:
        constants["c"] = normal(9, *c)
        inputs.append("c")
    op_type, domain = "Gemm", ""
    if fused:
        op_type, domain = "FusedGemm", MICROSOFT
        attributes["activation"] = draw(st.sampled_from(["Relu", "Tanh", "Sigmoid", "LeakyRelu"]))
        if attributes["activation"] == "LeakyRelu":
            attributes["activation_alpha"] = 0.2
    return Operator(
        _node(op_type, *inputs, domain=domain, **attributes),
        (k, m) if attributes["transA"] else (m, k),
        (n, k) if turned else (k, n),
        lambda w: alpha * (w.T if turned else w)[None],
        lambda mats: (mats[0].T if turned else mats[0]) / alpha,
        constants,
        opset=7 if c is not None else 11,
        types=(np.float32,) if fused else (np.float32, np.float64, np.float16),
    )


@st.composite
def left_gemm(draw):
    m, k, n = draw(SIZES), draw(SIZES), draw(st.integers(1, 4))
    attributes = _gemm_attributes(draw, "transA")
    turned_x = attributes["transB"] = draw(st.integers(0, 1))
    turned = attributes["transA"]
    c = draw(st.sampled_from([None, (), (1,), (n,), (1, n), (m, n), (m, 1)]))
    alpha = attributes.get("alpha", 1.0)
    return Operator(
        _node("Gemm", "w", "x", *(["c"] if c is not None else []), **attributes),
        (n, k) if turned_x else (k, n),
        (k, m) if turned else (m, k),
        lambda w: alpha * (w if turned else w.T)[None],
        lambda mats: (mats[0] if turned else mats[0].T) / alpha,
        {"c": normal(9, *c)} if c is not None else {},
        opset=7 if c is not None else 11,
    )


# Equation, and whether the constant is the left operand.
EQUATIONS = [
    ("mk,kn->mn", False),
    ("mk,nk->mn", False),
    ("km,kn->nm", False),
    ("bmk,kn->bmn", False),
    ("bmk,kn", False),
    ("...k,kn->...n", False),
    ("bkq,knh->bnhq", False),
    ("bqnh,nhd->bqd", False),
    ("bqd,dnh->bqnh", False),
    ("bmk,kn->mn", False),
    ("gmk,gkn->gmn", False),
    ("bgmk,ngk->bmgn", False),
    ("bqgk,gkzn->bgqzn", False),
    ("kn,bmk->bmn", True),
    ("nk,...k->...n", True),
    ("zkn , bkq -> bqzn", True),
]


@st.composite
def einsum(draw):
    equation, left = draw(st.sampled_from(EQUATIONS))
    sizes = {c: draw(st.integers(1, 3)) for c in "bmqgz"}
    sizes |= {c: draw(SIZES) for c in "knd"} | {"h": draw(st.integers(2, 3))}
    parts, _, out = equation.replace(" ", "").partition("->")
    a, b = parts.split(",")
    x, w = (b, a) if left else (a, b)
    out = out or "bmn"
    lead = draw(LEAD) if "..." in x else ()
    g = [c for c in w if c in x and c in out]
    k = [c for c in w if c in x and c not in out]
    n = [c for c in w if c not in x]
    order = [*g, *k, *n]
    axes = [w.index(c) for c in order]
    shape = [math.prod(sizes[c] for c in part) for part in (g, k, n)]
    inverse = [order.index(c) for c in w]
    return Operator(
        _node("Einsum", *(["w", "x"] if left else ["x", "w"]), equation=equation),
        (*lead, *(sizes[c] for c in x.replace("...", ""))),
        tuple(sizes[c] for c in w),
        lambda v: v.transpose(axes).reshape(shape),
        lambda mats: mats.reshape([sizes[c] for c in order]).transpose(inverse),
        opset=12,
    )


def _window(draw, rank: int) -> dict[str, Any]:
    return {
        "strides": [draw(st.integers(1, 2)) for _ in range(rank)],
        "dilations": [draw(st.integers(1, 2)) for _ in range(rank)],
        "pads": [draw(st.integers(0, 1)) for _ in range(2 * rank)],
    }


@st.composite
def conv(draw, fused=False):
    rank = draw(st.sampled_from([2] if fused else [1, 2, 2, 3]))
    kernel = tuple(draw(st.integers(1, 3)) for _ in range(rank))
    groups = draw(st.integers(1, 2))
    inner, outer = draw(st.integers(3, 5)), draw(st.integers(3, 5))
    attributes = {"group": groups, "kernel_shape": kernel, **_window(draw, rank)}
    auto = "NOTSET" if fused else draw(st.sampled_from(["NOTSET", "VALID", "SAME_UPPER"]))
    if auto != "NOTSET":
        attributes["auto_pad"] = auto
        attributes.pop("pads")
        attributes["dilations"] = [1] * rank
    if draw(st.booleans()):
        attributes.pop("kernel_shape")
    bias = draw(st.booleans())
    op_type, domain = "Conv", ""
    if fused:
        op_type, domain = "FusedConv", MICROSOFT
        attributes["activation"] = draw(st.sampled_from(["Relu", "HardSigmoid", "LeakyRelu"]))
        parameters = {"HardSigmoid": [0.3, 0.4], "LeakyRelu": [0.2]}
        if attributes["activation"] in parameters:
            attributes["activation_params"] = parameters[attributes["activation"]]
    shape = (groups * outer, inner, *kernel)
    return Operator(
        _node(op_type, "x", "w", *(["c"] if bias else []), domain=domain, **attributes),
        (draw(st.integers(1, 2)), groups * inner, *(7 for _ in kernel)),
        shape,
        lambda w: w.reshape(groups, outer, -1).transpose(0, 2, 1),
        lambda mats: mats.transpose(0, 2, 1).reshape(shape),
        {"c": normal(9, groups * outer)} if bias else {},
        types=(np.float32,) if fused else (np.float32, np.float16),
    )


@st.composite
def conv_transpose(draw):
    rank = draw(st.sampled_from([1, 2, 2, 3]))
    kernel = tuple(draw(st.integers(1, 3)) for _ in range(rank))
    groups = draw(st.integers(1, 2))
    inner, outer = draw(st.integers(3, 5)), draw(st.integers(3, 5))
    attributes = {"group": groups, "kernel_shape": kernel, **_window(draw, rank)}
    style = draw(st.sampled_from(["pads", "output_padding", "output_shape", "SAME_UPPER"]))
    spatial = [4] * rank
    if style == "output_padding":
        attributes["output_padding"] = [
            draw(st.integers(0, stride - 1)) for stride in attributes["strides"]
        ]
    elif style == "output_shape":
        attributes.pop("pads")
        attributes["output_shape"] = [
            (size - 1) * s + (k - 1) * d + 1
            for size, s, k, d in zip(
                spatial, attributes["strides"], kernel, attributes["dilations"], strict=True
            )
        ]
    elif style == "SAME_UPPER":
        attributes.pop("pads")
        attributes["auto_pad"] = style
        attributes["dilations"] = [1] * rank
        attributes["strides"] = [
            min(s, k) for s, k in zip(attributes["strides"], kernel, strict=True)
        ]
    else:
        attributes["pads"] = [
            0 if k == 1 else p for k, p in zip(kernel * 2, attributes["pads"], strict=True)
        ]
    bias = draw(st.booleans())
    shape = (groups * inner, outer, *kernel)
    return Operator(
        _node("ConvTranspose", "x", "w", *(["c"] if bias else []), **attributes),
        (draw(st.integers(1, 2)), groups * inner, *spatial),
        shape,
        lambda w: w.reshape(groups, inner, -1),
        lambda mats: mats.reshape(shape),
        {"c": normal(9, groups * outer)} if bias else {},
        types=(np.float32, np.float16),
    )


@st.composite
def fused_matmul(draw):
    k, n = draw(SIZES), draw(SIZES)
    turned = draw(st.integers(0, 1))
    alpha = draw(st.sampled_from([1.0, 0.5]))
    lead = draw(st.lists(st.integers(1, 3), min_size=1, max_size=2).map(tuple))
    return Operator(
        _node("FusedMatMul", "x", "w", domain=MICROSOFT, transB=turned, alpha=alpha),
        (*lead, k),
        (n, k) if turned else (k, n),
        lambda w: alpha * (w.T if turned else w)[None],
        lambda mats: (mats[0].T if turned else mats[0]) / alpha,
        types=(np.float32,),
    )


@st.composite
def gather(draw):
    k, n = draw(st.integers(4, 9)), draw(SIZES)
    shape = draw(st.lists(st.integers(1, 3), min_size=1, max_size=3).map(tuple))
    attributes = draw(st.sampled_from([{}, {"axis": 0}]))
    return Operator(
        _node("Gather", "w", "x", **attributes), shape, (k, n), _plain, _first, indices=k
    )


GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


@st.composite
def recurrent(draw):
    op_type = draw(st.sampled_from(sorted(GATES)))
    direction = draw(st.sampled_from(["forward", "reverse", "bidirectional"]))
    directions = 2 if direction == "bidirectional" else 1
    width, hidden = draw(SIZES), draw(st.integers(4, 5))
    gates = GATES[op_type] * hidden
    attributes = {"hidden_size": hidden, "direction": direction}
    constants = {"r": normal(8, directions, gates, hidden) / 3}
    if draw(st.booleans()):
        constants["b"] = normal(9, directions, 2 * gates)
    if op_type == "GRU" and draw(st.booleans()):
        attributes["linear_before_reset"] = 1
    shape = (directions, gates, width)
    return Operator(
        _node(op_type, "x", "w", *constants, **attributes),
        (draw(st.integers(1, 4)), draw(st.integers(1, 3)), width),
        shape,
        lambda w: w.reshape(-1, width).T[None],
        lambda mats: mats[0].T.reshape(shape),
        constants,
        types=(np.float32,),  # all that onnxruntime has for them
    )


OPERATORS = {
    "MatMul": matmul(),
    "MatMul, left": left_matmul(),
    "MatMul, batched": batched_matmul(),
    "MatMul, left, batched": left_stack(),
    "Gemm": gemm(),
    "Gemm, left": left_gemm(),
    "Einsum": einsum(),
    "Conv": conv(),
    "ConvTranspose": conv_transpose(),
    "FusedMatMul": fused_matmul(),
    "Gather": gather(),
    "recurrent": recurrent(),
    "FusedGemm": gemm(fused=True),
    "FusedConv": conv(fused=True),
}
