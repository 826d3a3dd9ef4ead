"""Fused products."""

from __future__ import annotations

import numpy as np
import pytest
from adjoint_harness import normal, spaced
from bodies_harness import check_body


@pytest.mark.parametrize("opset", [11, 21])
@pytest.mark.parametrize(
    ("attributes", "a", "b"),
    [
        ("alpha = 0.5", (2, 3, 4), (2, 4, 5)),
        ("transA = 1, transB = 1", (2, 4, 3), (2, 5, 4)),
        ("transB = 1", (2, 3, 4), (5, 4)),
        ("transBatchA = 1", (3, 2, 4), (2, 4, 5)),
        ("transBatchB = 1, transB = 1", (2, 3, 4), (5, 2, 4)),
        ("transBatchA = 1, transA = 1", (2, 6, 3, 4), (6, 3, 2, 5)),
    ],
)
def test_fused_matmul(attributes: str, a: tuple[int, ...], b: tuple[int, ...], opset: int) -> None:
    kinds = [
        ",".join(f"{name}{i}" for i in range(len(dims))) for name, dims in (("a", a), ("b", b))
    ]
    rank = ",".join("MNOP"[: max(len(a), len(b))])
    text = f"""(float[{kinds[0]}] a, float[{kinds[1]}] b) => (float[{rank}] y) {{
        y = com.microsoft.FusedMatMul <{attributes}> (a, b) }}"""
    check_body(text, {"a": normal(*a), "b": normal(*b, seed=1)}, opset=opset)


@pytest.mark.parametrize(
    "activation",
    ["", 'activation = "Relu", ', 'activation = "LeakyRelu", activation_params = [0.2], ',
     'activation = "HardSigmoid", activation_params = [0.2, 0.5], ', 'activation = "Tanh", '],
)  # fmt: skip
@pytest.mark.parametrize("more", [[], ["b"], ["b", "z"]])
def test_fused_conv(activation: str, more: list[str]) -> None:
    """By its data alone: the weight is an input, and has no gradient."""
    feeds = {"x": spaced(1, 2, 4, 4), "w": normal(3, 2, 3, 3, seed=1)}
    feeds |= {"b": normal(3, seed=2), "z": normal(1, 3, 2, 2, seed=3)}
    kinds = {"x": "N,2,A,B", "w": "3,2,3,3", "b": "3", "z": "N,3,C,D"}
    names = ["x", "w", *more]
    inputs = ", ".join(f"float[{kinds[name]}] {name}" for name in names)
    text = f"""({inputs}) => (float[N,3,C,D] y) {{ y = com.microsoft.FusedConv
        <{activation} strides = [2, 2], pads = [1, 1, 0, 0]> ({", ".join(names)}) }}"""
    given = {name: feeds[name] for name in names}
    check_body(text, given, ["x", *(["z"] if "z" in more else [])])


@pytest.mark.parametrize("opset", [11, 21])
@pytest.mark.parametrize(
    ("bits", "columns", "zeros", "bias"),
    [
        (4, 32, "", ""),
        (4, 40, "packed", "bias"),
        (4, 40, "plain", ""),
        (8, 32, "packed", ""),
        (2, 32, "", "bias"),
    ],
)
def test_matmul_of_few_bits(bits: int, columns: int, zeros: str, bias: str, opset: int) -> None:
    rows, size = 6, 16
    blocks = -(-columns // size)
    generator = np.random.default_rng(0)

    def packed(*shape: int) -> np.ndarray:
        return generator.integers(0, 256, shape, np.uint8)

    feeds = {"x": normal(2, 3, columns), "w": packed(rows, blocks, size * bits // 8)}
    feeds["s"] = generator.uniform(0.1, 0.3, (rows, blocks)).astype(np.float32)
    if zeros == "packed":
        feeds["z"] = packed(rows, -(-blocks * bits // 8))
    elif zeros:
        feeds["z"] = generator.uniform(3, 9, (rows, blocks)).astype(np.float32)
    if bias:
        feeds["b"] = normal(rows, seed=1)
    kinds = {np.float32: "float", np.uint8: "uint8"}
    inputs = ", ".join(
        f"{kinds[a.dtype.type]}[{','.join(map(str, a.shape)) if n != 'x' else 'B,T,C'}] {n}"
        for n, a in feeds.items()
    )
    text = f"""({inputs}) => (float[B,T,R] y) {{ y = com.microsoft.MatMulNBits <K = {columns},
        N = {rows}, bits = {bits}, block_size = {size}>
        (x, w, s, {"z" if zeros else ""}, , {"b" if bias else ""}) }}"""
    check_body(text, feeds, ["x", *(["b"] if bias else [])], opset=opset)
