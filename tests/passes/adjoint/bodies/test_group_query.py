"""GroupQueryAttention."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from adjoint_harness import normal
from bodies_harness import check_body

from onnx_factorize.passes.adjoint import NoRuleError

N, K = 4, 2
ANGLES = np.outer(np.arange(12), 0.7 ** np.arange(8)).astype(np.float32)


def attention(
    attributes: str = "",
    *,
    packed: bool = False,
    width: int = 16,
    past: bool = False,
    cached: int = 5,
    lengths: tuple[int, ...] = (3, 3),
    length: int = 3,
    window: int = 0,
    total: int | None = None,
    more: Mapping[str, tuple[int, np.ndarray]] | None = None,
    through: tuple[str, ...] = ("y",),
    wanted: tuple[str, ...] | None = None,
    opset: int = 18,
) -> None:
    """Check a node whose rows have `lengths` positions in all, of which up to `length` are new."""
    b = len(lengths)
    feeds: dict[str, np.ndarray] = {"q": normal(b, length, (N + 2 * K if packed else N) * width)}
    names = ["q", *([""] * 2 if packed else ["k", "v"]), *(["pk", "pv"] if past else [""] * 2)]
    if not packed:
        feeds |= {n: normal(b, length, K * width, seed=i) for i, n in enumerate("kv", 1)}
    if past:
        feeds |= {n: normal(b, K, cached, width, seed=i) for i, n in enumerate(("pk", "pv"), 3)}
    default = tuple(feeds)
    feeds["last"] = np.array(lengths, np.int32) - 1
    feeds["total"] = np.array(max(lengths) if total is None else total, np.int32)
    names += ["last", "total"]
    for name, (index, array) in (more or {}).items():
        names += [""] * (index + 1 - len(names))
        names[index] = name
        feeds[name] = array
    kinds = {np.float32: "float", np.int32: "int32", np.int64: "int64"}
    inputs = ", ".join(
        f"{kinds[array.dtype.type]}{_axes(name, array)} {name}" for name, array in feeds.items()
    )
    cache = f"float[B,{K},L,{width}]"
    text = f"""({inputs}) => (float[B,S,{N * width}] y, {cache} nk, {cache} nv) {{
        y, nk, nv = com.microsoft.GroupQueryAttention <num_heads = {N}, kv_num_heads = {K}
            {attributes}> ({", ".join(names)}) }}"""
    new = np.arange(length) + np.maximum(np.array(lengths)[:, None] - length, 0)
    rows = {"y": new < np.array(lengths)[:, None]}
    if window:  # so many rows of the cache that is written count
        step = cached - window + 1
        kept = [n - step * max(0, -((cached - n) // step)) for n in lengths]
        written = np.arange(cached) < np.array(kept)[:, None, None]
        rows |= dict.fromkeys(["nk", "nv"], np.broadcast_to(written, (b, K, cached)))
    check_body(text, feeds, wanted or default, rows=rows, through=through, opset=opset)


def _axes(name: str, array: np.ndarray) -> str:
    axes = {"q": "B,S,", "k": "B,S,", "v": "B,S,", "last": "B"}.get(name)
    if axes is None:
        axes = (
            ",".join(map(str, array.shape))
            if name not in ("pk", "pv")
            else f"B,{K},P,{array.shape[3]}"
        )
    elif array.ndim == 3:
        axes += str(array.shape[-1])
    return f"[{axes}]" if axes else ""


def rotary() -> dict[str, tuple[int, np.ndarray]]:
    return {"cos": (7, np.cos(ANGLES)), "sin": (8, np.sin(ANGLES))}


@pytest.mark.parametrize("opset", [12, 21])
@pytest.mark.parametrize("packed", [False, True])
def test_first_prompt(packed: bool, opset: int) -> None:
    attention(packed=packed, opset=opset)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("interleaved", [0, 1])
def test_rotary(packed: bool, interleaved: int) -> None:
    attention(f", do_rotary = 1, rotary_interleaved = {interleaved}", packed=packed, more=rotary())


def test_rotary_of_some_channels() -> None:
    attention(", do_rotary = 1", width=32, more=rotary())


def test_rows_padded_on_the_right() -> None:
    attention(", do_rotary = 1", lengths=(2, 4, 3), length=4, more=rotary())


@pytest.mark.parametrize(("lengths", "length"), [((6, 6), 1), ((7,), 2), ((4, 6), 1)])
def test_cache(lengths: tuple[int, ...], length: int) -> None:
    attention(", do_rotary = 1", past=True, lengths=lengths, length=length, more=rotary())


def test_empty_cache() -> None:
    given = {"past": True, "cached": 0, "more": rotary()}
    attention(", do_rotary = 1", wanted=("q", "k", "v"), through=("y", "nk", "nv"), **given)


@pytest.mark.parametrize(
    ("cached", "lengths", "length"),
    [(4, (6, 6), 6), (4, (3, 9), 1), (6, (7, 8), 1), (6, (12, 10), 1), (6, (11,), 3)],
)
def test_cache_of_a_window(cached: int, lengths: tuple[int, ...], length: int) -> None:
    """It holds the positions that it would if they had come one at a time."""
    attributes = ", do_rotary = 1, local_window_size = 4, sliding_window_cache = 1"
    attention(attributes, past=True, cached=cached, lengths=lengths, length=length, window=4,
              more=rotary(), through=("y", "nk", "nv"))  # fmt: skip


def test_gradients_through_the_cache_that_it_writes() -> None:
    attention(past=True, lengths=(4, 6), length=1, through=("y", "nk", "nv"))
    attention(through=("y", "nk", "nv"))


@pytest.mark.parametrize("past", [False, True])
@pytest.mark.parametrize("attributes", [
    "scale = 0.3", "softcap = 0.7", "local_window_size = 2", "smooth_softmax = 1",
    "softcap = 0.7, local_window_size = 1",
])  # fmt: skip
def test_attributes(attributes: str, past: bool) -> None:
    given = {"past": True, "lengths": (7,), "length": 2} if past else {}
    attention(f", {attributes}", **given)


@pytest.mark.parametrize("given", [
    {"past": True, "more": {"bias": (10, normal(1, 1, 3, 8))}, "lengths": (8,)},
    {"more": {"qn": (14, normal(16)), "kn": (15, normal(16))}},
    {"attributes": ", kv_cache_bit_width = 8"},
])  # fmt: skip
def test_refusals(given: dict) -> None:
    with pytest.raises(NoRuleError, match="no body for"):
        attention(**given)


def test_both_directions() -> None:
    attention(", causal = 0", lengths=(3, 2))


def test_head_sink() -> None:
    attention(more={"sink": (11, normal(N, seed=9))}, wanted=("q", "k", "v", "sink"))


@pytest.mark.parametrize("shape", [(2, N), (1, 1), (2, 1)])
def test_attention_bias(shape: tuple[int, int]) -> None:
    bias = normal(*shape, 3, 3, seed=9)
    attention(", softcap = 0.7", more={"bias": (10, bias)}, wanted=("q", "k", "bias"))


def test_position_ids() -> None:
    at = np.array([[2, 3, 4], [2, 3, 4]])
    attention(", do_rotary = 1", more={**rotary(), "at": (9, at)})
    at = np.array([[1], [4]])
    attention(
        ", do_rotary = 1", past=True, lengths=(6, 6), length=1, more={**rotary(), "at": (9, at)}
    )
