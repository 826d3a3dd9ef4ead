"""Caches of decoders, by names and shapes."""

import onnx_ir as ir
import pytest

from onnx_factorize.passes import Cache, FindCaches, with_lengths
from tests.builders import model
from tests.decoders import decoder


def found(text, **names):
    dense = ir.from_proto(model(text))
    for value in (*dense.graph.inputs, *dense.graph.outputs):
        value.name = names.get(value.name, value.name)
    finder = FindCaches()
    finder(dense)
    return finder


@pytest.mark.parametrize("merged", [False, True])
def test_as_exporters_write_them(merged):
    finder = FindCaches()
    finder(ir.from_proto(decoder(merged=merged)))
    assert finder.outputs == ["present.0.key", "present.0.value"]
    assert finder.caches == [
        Cache(f"past_key_values.0.{part}", f"present.0.{part}", 2, (None, 2, None, 4), grows=True)
        for part in ("key", "value")
    ]


@pytest.mark.parametrize(
    ("given", "back"),
    [("past_key_values_0", "present_0"), ("cache_k_0", "new_cache_k_0"), ("past.0.key", "kv")],
)
def test_names(given, back):
    text = "(float[b, 2, past, 4] x) => (float[b, 2, total, 4] y) { y = Concat <axis = 2> (x, x) }"
    caches = found(text, x=given, y=back).caches
    assert [cache.input for cache in caches] == ([] if back == "kv" else [given])


@pytest.mark.parametrize(
    "shapes",
    [
        ("float[1, b, 4]", "float[1, n, 4]"),  # fewer axes: a recurrent state
        ("float[1, 2, b, 4]", "float[1, 2, b, 4]"),  # as long as before
        ("float[b, h, past, 4]", "float[n, heads, total, 4]"),  # longer along two axes
        ("float[b, 2, 8, 4]", "float[b, 2, 8, 4]"),  # of a fixed length
    ],
)
def test_states_are_no_caches(shapes):
    given, back = shapes
    finder = found(f"({given} state) => ({back} state_n) {{ state_n = Neg (state) }}")
    assert (finder.caches, finder.outputs) == ([], [])


def test_an_axis_of_samples_does_not_grow():
    text = """(float[b, t] x, float[1, 2, b, 4] state) => (float[1, 2, n, 4] state_n) {
        state_n = Neg (state)
    }"""
    assert found(text).caches == []


def test_a_cache_of_an_encoder_does_not_grow():
    text = "(float[b, 2, e, 4] x) => (float[b, 2, e, 4] y) { y = Identity (x) }"
    finder = found(text, x="past_key_values.0.encoder.key", y="present.0.encoder.key")
    assert [cache.grows for cache in finder.caches] == [False]
    assert finder.outputs == ["present.0.encoder.key"]


def test_the_first_step_alone_has_outputs_only():
    text = (
        "(float[b, 2, t, 4] x) => (float[b, 2, t, 4] y, float[b, t] z) { y = Neg (x) z = Neg (x) }"
    )
    finder = found(text, y="present.0.value")
    assert (finder.caches, finder.outputs) == ([], ["present.0.value"])


def test_lengths_that_follow_from_the_graph():
    dense = ir.from_proto(decoder(width="kv_cache_dim"))
    finder = FindCaches()
    finder(dense)
    assert [cache.lengths for cache in finder.caches] == [(None, 2, None, None)] * 2
    assert [cache.lengths for cache in with_lengths(dense, finder.caches)] == [
        (None, 2, None, 4)
    ] * 2


def windowed():
    """A decoder of onnxruntime's builder, whose attention keeps a window of four positions."""
    past, present = "float[b, 1, past, width]", "float[b, 1, total, width]"
    text = f"""(float[b, s, 64] x, {past} past_k, {past} past_v, int32[b] last, int32 n)
        => (float[b, s, 32] y, {present} present_k, {present} present_v) {{
        y, present_k, present_v = com.microsoft.GroupQueryAttention <num_heads = 2,
            kv_num_heads = 1, local_window_size = 4, sliding_window_cache = 1>
            (x, , , past_k, past_v, last, n) }}"""
    return ir.from_proto(model(text))


def test_a_window_has_a_length_of_its_own():
    dense = windowed()
    finder = FindCaches()
    finder(dense)
    assert [cache.lengths for cache in with_lengths(dense, finder.caches)] == [(None, 1, 4, 16)] * 2
