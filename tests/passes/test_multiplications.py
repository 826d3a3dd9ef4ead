"""Multiplications of operators that are counted and not treated, beside numbers by hand."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
import pytest

from onnx_factorize.passes import CountProducts

HEAD = '<ir_version: 9, opset_import: ["" : 18, "com.microsoft" : 1]>'


def counted(
    text: str, feeds: dict[str, tuple[int, ...]], outputs: dict[str, tuple[int, ...]]
) -> int:
    """The multiplications of a graph whose values have known shapes."""
    model = ir.from_proto(onnx.parser.parse_model(f"{HEAD} main {text}"))
    values = {v.name: v for v in (*model.graph.inputs, *model.graph.outputs)}
    count = CountProducts()
    count(model)
    shapes = {values[name]: shape for name, shape in {**feeds, **outputs}.items()}
    return sum(
        int(np.prod([np.prod(shapes[each.value][each.start : each.stop]) for each in term]))
        for _, terms in count.terms
        for term in terms
    )


B, S, P, N, K, H = 2, 5, 3, 4, 2, 16
SCORES = B * N * S * S * H
CACHED = B * N * S * P * H


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("past", [False, True])
def test_group_query_attention(packed: bool, past: bool) -> None:
    feeds = {"q": (B, S, (N + (2 * K if packed else 0)) * H)}
    feeds |= {} if packed else {"k": (B, S, K * H), "v": (B, S, K * H)}
    feeds |= {"pk": (B, K, P, H), "pv": (B, K, P, H)} if past else {}
    names = [name if name in feeds else "" for name in ("q", "k", "v", "pk", "pv")]
    inputs = ", ".join(f"float[{','.join(map(str, s))}] {n}" for n, s in feeds.items())
    text = f"""({inputs}, int32[{B}] last, int32 total) => (float[{B},{S},{N * H}] y) {{
        y = com.microsoft.GroupQueryAttention <num_heads = {N}, kv_num_heads = {K}>
            ({", ".join(names)}, last, total) }}"""
    expected = 2 * (SCORES + (CACHED if past else 0))
    assert counted(text, feeds, {"y": (B, S, N * H)}) == expected


@pytest.mark.parametrize("kind", ["plain", "heads", "packed", "pairs"])
def test_multi_head_attention(kind: str) -> None:
    flat = (B, S, N * H)
    feeds = {
        "plain": {"q": flat, "k": flat, "v": flat},
        "heads": {"q": flat, "k": (B, N, S, H), "v": (B, N, S, H)},
        "packed": {"q": (B, S, N, 3, H)},
        "pairs": {"q": flat, "k": (B, S, N, 2, H)},
    }[kind]
    inputs = ", ".join(f"float[{','.join(map(str, s))}] {n}" for n, s in feeds.items())
    text = f"""({inputs}) => (float[{B},{S},{N * H}] y) {{
        y = com.microsoft.MultiHeadAttention <num_heads = {N}> ({", ".join(feeds)}) }}"""
    assert counted(text, feeds, {"y": flat}) == 2 * SCORES


def test_attention_with_a_cache() -> None:
    wide = 7
    feeds = {"x": (B, S, wide), "w": (wide, 3 * N * H), "b": (3 * N * H,), "past": (2, B, N, P, H)}
    inputs = ", ".join(f"float[{','.join(map(str, s))}] {n}" for n, s in feeds.items())
    text = f"""({inputs}) => (float[{B},{S},{N * H}] y) {{
        y = com.microsoft.Attention <num_heads = {N}> (x, w, b, , past) }}"""
    expected = B * S * wide * 3 * N * H + 2 * (SCORES + CACHED)
    assert counted(text, feeds, {"y": (B, S, N * H)}) == expected
