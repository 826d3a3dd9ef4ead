"""Attention, RotaryEmbedding and RMSNormalization of the standard, through their functions."""

from __future__ import annotations

import numpy as np
import pytest
from adjoint_harness import normal
from bodies_harness import check_body

N, K, H, S, T = 4, 2, 3, 3, 3
KINDS = {np.float32: "float", np.int64: "int64", np.bool_: "bool"}
SLOTS = ["q", "k", "v", "mask", "pk", "pv", "ends"]


def attention(attributes: str, opset: int, flat: bool, past: int = 0, **more: np.ndarray) -> None:
    if flat:
        feeds = {"q": normal(2, S, N * H), "k": normal(2, T, K * H, seed=1)}
        feeds["v"] = normal(2, T, K * H, seed=2)
        attributes = f"q_num_heads = {N}, kv_num_heads = {K}, {attributes}"
    else:
        feeds = {"q": normal(2, N, S, H), "k": normal(2, K, T, H, seed=1)}
        feeds["v"] = normal(2, K, T, H, seed=2)
    outputs, through = f"float[{'A,B,C' if flat else 'A,B,C,D'}] y", ["y"]
    if past:
        feeds |= {"pk": normal(2, K, past, H, seed=3), "pv": normal(2, K, past, H, seed=4)}
        outputs += ", float[A,B,C,D] nk, float[A,B,C,D] nv"
        through += ["nk", "nv"]
    feeds |= more
    inputs = ", ".join(
        f"{KINDS[a.dtype.type]}[{','.join(map(str, a.shape))}] {n}" for n, a in feeds.items()
    )
    names = [slot if slot in feeds else "" for slot in SLOTS]
    made = ", ".join(name.split("] ")[1] for name in outputs.split(", "))
    text = f"""({inputs}) => ({outputs}) {{
        {made} = Attention <{attributes.rstrip(", ")}> ({", ".join(names).rstrip(", ")}) }}"""
    check_body(text, feeds, opset=opset, through=through)


@pytest.mark.parametrize("opset", [23, 24])
@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("attributes", ["is_causal = 1, ", "scale = 0.3, ", "softcap = 0.7, "])
def test_attention(attributes: str, opset: int, flat: bool) -> None:
    attention(attributes, opset, flat)


@pytest.mark.parametrize("opset", [23, 24])
def test_masks_and_caches(opset: int) -> None:
    seen = np.array([[True, True, False], [True, False, True], [True, True, True]])
    attention("scale = 0.5, ", opset, flat=False, mask=seen)
    attention("", opset, flat=True, mask=normal(2, 1, S, T, seed=5))
    attention("is_causal = 1, ", opset, flat=True, past=2)


@pytest.mark.parametrize("interleaved", [0, 1])
@pytest.mark.parametrize("width", [0, 2])
def test_rotary_embedding(interleaved: int, width: int) -> None:
    angles = np.outer(np.arange(5), 0.7 ** np.arange((width or 4) // 2)).astype(np.float32)
    at = np.array([[0, 1, 2], [2, 4, 3]])
    feeds = {"x": normal(2, 2, 3, 4), "cos": np.cos(angles), "sin": np.sin(angles), "at": at}
    table = f"float[5,{angles.shape[1]}]"
    text = f"""(float[2,2,3,4] x, {table} cos, {table} sin, int64[2,3] at) => (float[2,2,3,4] y) {{
        y = RotaryEmbedding <interleaved = {interleaved}, rotary_embedding_dim = {width}>
            (x, cos, sin, at) }}"""
    check_body(text, feeds, ["x"], opset=23)


@pytest.mark.parametrize("opset", [23, 24])
def test_rms_normalization(opset: int) -> None:
    text = """(float[A,B,4] x, float[4] g) => (float[A,B,4] y) {
        y = RMSNormalization <axis = -1, epsilon = 0.01, stash_type = 1> (x, g) }"""
    check_body(text, {"x": normal(2, 3, 4), "g": normal(4, seed=1)}, ["x"], opset=opset)
