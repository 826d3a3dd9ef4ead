"""MultiHeadAttention and Attention of onnxruntime's domain."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from adjoint_harness import normal, parse
from bodies_harness import body, check_body, session

from onnx_factorize.passes.adjoint import NoRuleError, bodies
from onnx_factorize.passes.adjoint.inference import infer

N, H, V, D = 2, 3, 4, 5
KINDS = {np.float32: "float", np.int32: "int32"}
MASKS = {
    "[B, T]": np.array([[1, 1, 0], [1, 0, 1]], np.int32),
    "[B, S, T]": np.array([[[1, 0, 1], [1, 1, 0], [1, 1, 1]], [[1] * 3] * 3], np.int32),
    "ends": np.array([2, 3], np.int32),
}


def graph(
    operator: str,
    slots: list[str],
    feeds: dict,
    outputs: str,
    attributes: str,
    static: bool = False,
) -> str:
    """Write a graph of one node; unless static, only the widths of channels are told."""
    inputs = ", ".join(
        f"{KINDS[a.dtype.type]}[{_axes(name, a, static)}] {name}" for name, a in feeds.items()
    )
    names = [slot if slot in feeds else "" for slot in slots]
    made = ", ".join(name.split("] ")[1] for name in outputs.split(", "))
    return f"""({inputs}) => ({outputs}) {{
        {made} = com.microsoft.{operator} <num_heads = {N}{attributes}> ({", ".join(names)}) }}"""


def _axes(name: str, array: np.ndarray, static: bool) -> str:
    first = 0 if static or name in ("w", "b", "bias") else array.ndim - (array.dtype != np.int32)
    told = [f"{name}{i}" if i < first else str(dim) for i, dim in enumerate(array.shape)]
    if array.ndim == 5 and not static:
        told[2:] = map(str, array.shape[2:])
    return ",".join(told)


SLOTS = ["q", "k", "v", "bias", "mask", "added", "pk", "pv"]


def multi_head(
    attributes: str = "",
    *,
    past: int = 0,
    opset: int = 18,
    static: bool = False,
    **more: np.ndarray,
) -> None:
    feeds = {"q": normal(2, 3, N * H), "k": normal(2, 3, N * H, seed=1)}
    wide = H if past else V
    feeds |= {"v": normal(2, 3, N * wide, seed=2), **more}
    outputs = "float[B,S,C] y"
    through = ["y"]
    if past:
        feeds |= {"pk": normal(2, N, past, H, seed=3), "pv": normal(2, N, past, H, seed=4)}
        outputs += ", float[B,N,T,H] nk, float[B,N,T,H] nv"
        through += ["nk", "nv"]
    text = graph("MultiHeadAttention", SLOTS, feeds, outputs, attributes, static)
    check_body(text, feeds, opset=opset, through=through)


@pytest.mark.parametrize(("opset", "static"), [(11, False), (21, True)])
@pytest.mark.parametrize("attributes", ["", ", scale = 0.3", ", unidirectional = 1"])
def test_multi_head_attention(attributes: str, opset: int, static: bool) -> None:
    multi_head(attributes, opset=opset, static=static)


@pytest.mark.parametrize("mask", ["[B, T]", "[B, S, T]", "ends"])
@pytest.mark.parametrize("attributes", ["", ", unidirectional = 1, mask_filter_value = -2.0"])
def test_masks_of_keys(mask: str, attributes: str) -> None:
    multi_head(attributes, mask=MASKS[mask])


@pytest.mark.parametrize("shape", [(2, N), (1, N), (2, 1), (1, 1)])
def test_bias_of_scores(shape: tuple[int, int]) -> None:
    multi_head(added=normal(*shape, 3, 3, seed=5))


def test_bias_and_both_masks() -> None:
    bias = normal(N * (2 * H + V), seed=6)
    multi_head(bias=bias, added=normal(1, 1, 3, 3), mask=MASKS["[B, T]"])


def test_cache() -> None:
    multi_head(past=2)
    multi_head(", unidirectional = 1", past=2, bias=normal(N * 3 * H, seed=6))


def test_keys_of_another_sequence() -> None:
    for bias in ({}, {"bias": normal(N * 3 * H, seed=6)}):
        feeds = {"q": normal(2, 3, N * H), "k": normal(2, N, 4, H, seed=1)}
        feeds |= {"v": normal(2, N, 4, H, seed=2), **bias}
        text = graph("MultiHeadAttention", SLOTS, feeds, "float[B,S,C] y", "")
        check_body(text, feeds)


def test_packed_heads() -> None:
    """onnxruntime has no kernel of these for processors: their bodies equal the plain one."""
    q, k, v = (normal(2, 3, N, H, seed=i) for i in range(3))
    flat = {name: array.reshape(2, 3, -1) for name, array in zip("qkv", (q, k, v), strict=True)}
    packings = [flat, {"q": np.stack([q, k, v], 3)}, {"q": flat["q"], "k": np.stack([k, v], 3)}]
    found = []
    for feeds in packings:
        text = graph("MultiHeadAttention", SLOTS, feeds, "float[B,S,C] y", "")
        found += session(body(parse(text))).run(None, feeds)
    np.testing.assert_allclose(found[1], found[0], rtol=1e-6)
    np.testing.assert_allclose(found[2], found[0], rtol=1e-6)


def attention(
    attributes: str = "", *, sizes: tuple[int, int, int] = (N * H,) * 3, past: int = 0,
    opset: int = 18, **more: np.ndarray,
) -> None:  # fmt: skip
    feeds = {"x": normal(2, 3, D), "w": normal(D, sum(sizes), seed=1)}
    feeds |= {"b": normal(sum(sizes), seed=2), **more}
    outputs, through = "float[B,S,C] y", ["y"]
    if past:
        feeds["past"] = normal(2, 2, N, past, H, seed=3)
        outputs += ", float[two,B,N,T,H] present"
        through.append("present")
    slots = ["x", "w", "b", "mask", "past", "added"]
    check_body(graph("Attention", slots, feeds, outputs, attributes), feeds, opset=opset,
               through=through)  # fmt: skip


@pytest.mark.parametrize("opset", [11, 21])
@pytest.mark.parametrize("attributes", ["", ", scale = 0.3", ", unidirectional = 1"])
def test_attention(attributes: str, opset: int) -> None:
    attention(attributes, opset=opset)


ALL_MASKS = {**MASKS, "ends and starts": np.array([2, 3, 0, 1], np.int32)}


@pytest.mark.parametrize("mask", ALL_MASKS)
@pytest.mark.parametrize("attributes", ["", ", unidirectional = 1, mask_filter_value = -2.0"])
def test_masks_of_attention(mask: str, attributes: str) -> None:
    attention(attributes, mask=ALL_MASKS[mask])


def test_hidden_sizes() -> None:
    sizes = (N * H, N * H, N * V)
    attention(f", qkv_hidden_sizes = [{', '.join(map(str, sizes))}]", sizes=sizes)


@pytest.mark.parametrize("mask", ["", "[B, T]", "ends"])
def test_cache_of_attention(mask: str) -> None:
    wide = {"[B, T]": np.array([[0, 1, 1, 1, 1], [1, 1, 1, 1, 0]], np.int32),
            "ends": np.array([4, 5], np.int32)}  # fmt: skip
    attention(", unidirectional = 1", past=2, **({"mask": wide[mask]} if mask else {}))


def test_bias_of_attention() -> None:
    attention(added=normal(2, N, 3, 3, seed=5), mask=MASKS["[B, T]"])


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        (", do_rotary = 1", "do_rotary = 1"),
        (", past_present_share_buffer = 1", "share_buffer = 1"),
        ("", "a mask of 8 numbers for 2 samples"),
    ],
)
def test_refusals(attributes: str, reason: str) -> None:
    feeds = {"x": normal(2, 3, D), "w": normal(D, 3 * N * H, seed=1), "b": normal(3 * N * H)}
    feeds["mask"] = np.arange(8, dtype=np.int32)  # of packed rows: 3 B + 2 numbers
    slots = ["x", "w", "b", *(["mask"] if "mask" in reason else [])]
    text = graph("Attention", slots, feeds, "float[B,S,C] y", attributes, static=True)
    model = ir.from_proto(parse(text))
    (node,) = model.graph
    with pytest.raises(NoRuleError, match=reason):
        bodies.build(node, infer(model), 18)
