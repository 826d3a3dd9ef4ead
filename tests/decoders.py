"""A decoder of one layer with random weights, as exporters write decoders with caches."""

from __future__ import annotations

import numpy as np
import onnx

from tests.builders import model, normal

VOCABULARY, HEADS, WIDTH, CHANNELS = 40, 2, 4, 16

_INPUTS = {
    "input_ids": "int64[batch_size, sequence_length] ids",
    "attention_mask": "int64[batch_size, total_sequence_length] mask",
    "position_ids": "int64[batch_size, sequence_length] places",
    "past_key_values.0.key": f"float[batch_size, {HEADS}, past_sequence_length, {WIDTH}] pk",
    "past_key_values.0.value": f"float[batch_size, {HEADS}, past_sequence_length, {WIDTH}] pv",
    "use_cache_branch": "bool[1] cached",
}
_PRESENT = f"float[batch_size, {HEADS}, total_sequence_length, {WIDTH}]"
_OUTPUTS = {
    "logits": f"float[batch_size, sequence_length, {VOCABULARY}] y",
    "present.0.key": f"{_PRESENT} nk",
    "present.0.value": f"{_PRESENT} nv",
}

_LAYER = """
    {p}q = MatMul ({p}x, wq)
    {p}k = MatMul ({p}x, wk)
    {p}v = MatMul ({p}x, wv)
    {p}qs = Reshape ({p}q, heads)
    {p}ks = Reshape ({p}k, heads)
    {p}vs = Reshape ({p}v, heads)
    {p}qh = Transpose <perm = [0, 2, 1, 3]> ({p}qs)
    {p}kh = Transpose <perm = [0, 2, 1, 3]> ({p}ks)
    {p}vh = Transpose <perm = [0, 2, 1, 3]> ({p}vs)
    {keys}
    {p}kt = Transpose <perm = [0, 1, 3, 2]> ({p}nk)
    {p}dots = MatMul ({p}qh, {p}kt)
    {p}size = Shape ({p}dots)
    {p}square = Slice ({p}size, two, four, zero)
    {p}from, {p}to = Split <axis = 0, num_outputs = 2> ({p}square)
    {p}before = Sub ({p}to, {p}from)
    {p}first = Squeeze ({p}before)
    {p}ones = ConstantOfShape <value = float[1] {{1.0}}> ({p}square)
    {p}lower = Trilu <upper = 0> ({p}ones, {p}first)
    {p}causal = Cast <to = 9> ({p}lower)
    {p}data = Cast <to = 9> (mask)
    {p}wide = Unsqueeze ({p}data, middle)
    {p}seen = And ({p}causal, {p}wide)
    {p}masked = Where ({p}seen, {p}dots, hidden)
    {p}weights = Softmax <axis = -1> ({p}masked)
    {p}mixed = MatMul ({p}weights, {p}nv)
    {p}back = Transpose <perm = [0, 2, 1, 3]> ({p}mixed)
    {p}flat = Reshape ({p}back, joined)
    {p}o = MatMul ({p}flat, wo)
    {p}res = Add ({p}x, {p}o)
    {p}up = MatMul ({p}res, w1)
    {p}act = Relu ({p}up)
    {p}down = MatMul ({p}act, w2)
    {p}sum = Add ({p}res, {p}down)
    {p}y = MatMul ({p}sum, head)
"""
_EMBEDDING = """
    {p}e = Gather (table, ids)
    {p}at = Gather (spots, places)
    {p}x = Add ({p}e, {p}at)
"""
_FIRST = "{p}nk = Identity ({p}kh)\n    {p}nv = Identity ({p}vh)"
_NEXT = "{p}nk = Concat <axis = 2> (pk, {p}kh)\n    {p}nv = Concat <axis = 2> (pv, {p}vh)"


def decoder(*, merged: bool = False, width: str = str(WIDTH)) -> onnx.ModelProto:
    """A decoder as Optimum exports it.

    Args:
        merged: Whether it has one branch for the first step and one for the next.
        width: The length of a head that is declared: onnxruntime-genai's builder has a symbol.
    """
    inputs = {n: v for n, v in _INPUTS.items() if merged or n != "use_cache_branch"}
    if merged:
        first, later = (
            f"{name} () => (float[b, s, v] {p}y, float[b, h, t, w] {p}nk, float[b, h, t, w] {p}nv) "
            f"{{{_body(p, keys)}}}"
            for name, p, keys in (("first", "f_", _FIRST), ("later", "l_", _NEXT))
        )
        body = f"y, nk, nv = If (cached) <then_branch = {later}, else_branch = {first}>"
    else:
        body = _body("", _NEXT)
    heading = f"({', '.join(inputs.values())}) => ({', '.join(_OUTPUTS.values())})"
    heading = heading.replace(f"sequence_length, {WIDTH}]", f"sequence_length, {width}]")
    proto = model(f"{heading} {{ {body} }}", _weights(), opset=18)
    for names in (inputs, _OUTPUTS):
        for name, declared in names.items():
            _rename(proto.graph, declared.rpartition(" ")[2], name)
    return proto


def text(samples: int = 40, length: int = 12) -> np.ndarray:
    """Token ids that repeat themselves, shape (samples, length)."""
    rng = np.random.default_rng(5)
    starts = rng.integers(0, VOCABULARY, (samples, 1))
    return (starts + 3 * np.arange(length) + rng.integers(0, 2, (samples, length))) % VOCABULARY


def _body(prefix: str, keys: str) -> str:
    return (_EMBEDDING + _LAYER.replace("{keys}", keys)).format(p=prefix)


def _weights() -> dict[str, np.ndarray]:
    inner = HEADS * WIDTH
    falling = np.float32(0.8) ** np.arange(CHANNELS, dtype=np.float32)[:, None]
    numbers = {
        "heads": [0, 0, HEADS, WIDTH], "joined": [0, 0, inner], "two": [2], "four": [4],
        "zero": [0], "middle": [1, 2],
    }  # fmt: skip
    return {
        "table": normal(1, VOCABULARY, CHANNELS),
        "spots": normal(2, 64, CHANNELS) / 4,
        "wq": normal(3, CHANNELS, inner) * falling,
        "wk": normal(4, CHANNELS, inner) * falling,
        "wv": normal(5, CHANNELS, inner) * falling,
        "wo": normal(6, inner, CHANNELS),
        "w1": normal(7, CHANNELS, 32) * falling,
        "w2": normal(8, 32, CHANNELS) / 4,
        "head": normal(9, CHANNELS, VOCABULARY) * falling,
        "hidden": np.array(-1e9, np.float32),
    } | {name: np.array(value, np.int64) for name, value in numbers.items()}


def _rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    """Gives a value of the main graph the name that exporters give it, which no text can hold."""
    for value in (*graph.input, *graph.output):
        value.name = new if value.name == old else value.name
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [new if name == old else name for name in names]
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _rename(attribute.g, old, new)
