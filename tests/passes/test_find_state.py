"""Outputs that may feed inputs again."""

import onnx_ir as ir
import pytest

from onnx_factorize.passes import FindState
from tests.builders import model


def pairs(text):
    finder = FindState()
    finder(ir.from_proto(model(text)))
    return finder.alike, finder.pairs


@pytest.mark.parametrize(
    ("given", "back"),
    [
        ("state", "stateN"),
        ("h0", "hn"),
        ("h_0", "h_n"),
        ("h", "hn"),
        ("past_3", "present_3"),
        ("state_in", "state_out"),
        ("prev_cell", "next_cell"),
        ("cache", "new_cache"),
    ],
)
def test_names_that_differ_in_which_comes_first(given, back):
    text = f"(float[N, 4] {given}) => (float[N, 4] {back}) {{ {back} = Neg ({given}) }}"
    assert pairs(text) == ([(given, back)], [(given, back)])


def test_other_names_are_pairs_if_type_and_shape_fit():
    text = """(float[N, 4] x, float[1, N, 3] h, int64[N] ids) => (float[N, 4] y, float[1, M, 3] z) {
        y = Neg (x)
        z = Neg (h)
    }"""
    alike, found = pairs(text)
    assert alike == []
    assert found == [("x", "y"), ("h", "z")]


def test_lengths_that_differ_are_no_state():
    text = "(float[N, 4] x) => (float[N, 5] y) { y = Pad (x) }"
    assert pairs(text) == ([], [])


def test_names_of_caches():
    dense = ir.from_proto(model("(float[N, 4] a) => (float[N, 4] b) { b = Neg (a) }"))
    dense.graph.inputs[0].name = "past_key_values.0.key"
    dense.graph.outputs[0].name = "present.0.key"
    finder = FindState()
    finder(dense)
    assert finder.alike == [("past_key_values.0.key", "present.0.key")]


def test_names_that_say_nothing_else_are_not_alike():
    text = "(float[N, 4] input) => (float[N, 4] output) { output = Neg (input) }"
    assert pairs(text) == ([], [("input", "output")])
