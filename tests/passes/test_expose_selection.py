"""What enters a selection stands for what comes out of it."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from onnx_factorize.passes import ExposeSelection
from tests.builders import model, run

RNG = np.random.default_rng(0)

# A detector: boxes and scores of each place by a product, then NonMaxSuppression.
DETECTOR = """(float[1, 20, 8] x) => (float[n, 4] kept, float[n] sure, int64[n] classes) {
    boxes = MatMul (x, wb)
    raw = MatMul (x, wc)
    turned = Transpose <perm = [0, 2, 1]> (raw)
    scores = Sigmoid (turned)
    most = Constant <value = int64[1] {5}> ()
    iou = Constant <value = float[1] {0.5}> ()
    least = Constant <value = float[1] {0.5}> ()
    chosen = NonMaxSuppression (boxes, scores, most, iou, least)
    two = Constant <value = int64 {2}> ()
    one = Constant <value = int64 {1}> ()
    place = Gather <axis = 1> (chosen, two)
    classes = Gather <axis = 1> (chosen, one)
    first = Constant <value = int64[1] {0}> ()
    flat = Squeeze (boxes, first)
    kept = Gather (flat, place)
    likely = ReduceMax <axes = [1], keepdims = 0> (scores)
    row = Squeeze (likely, first)
    sure = Gather (row, place)
}"""
WEIGHTS = {
    "wb": RNG.standard_normal((8, 4)).astype(np.float32),
    "wc": RNG.standard_normal((8, 3)).astype(np.float32),
}


def exposed(text, opset=17, **weights):
    proto = model(text, weights or WEIGHTS, opset=opset)
    treated = ir.from_proto(proto)
    expose = ExposeSelection()
    result = expose(treated)
    added = len(treated.graph.outputs) - len(proto.graph.output)
    assert result.modified == bool(added)
    onnx.checker.check_model(ir.to_proto(treated))
    return treated, expose


def test_boxes_and_scores_stand_for_what_a_detector_keeps():
    treated, expose = exposed(DETECTOR)
    assert expose.entering == ["boxes", "scores"]
    assert set(expose.behind) == {"kept", "sure", "classes"}
    assert set(expose.behind.values()) == {"NonMaxSuppression 'chosen'"}
    outputs = [value.name for value in treated.graph.outputs]
    assert outputs == ["kept", "sure", "classes", "boxes", "scores"]
    assert [tuple(v.shape) for v in treated.graph.outputs[3:]] == [(1, 20, 4), (1, 3, 20)]
    found = run(treated, {"x": RNG.standard_normal((1, 20, 8)).astype(np.float32)})
    assert found[3].shape == (1, 20, 4)
    assert found[4].min() > 0


def test_what_is_picked_at_the_chosen_places_counts_too():
    text = """(float[N, 20, 8] x) => (float[N, 5] best, float[N, 5, 4] boxes) {
        scores = MatMul (x, ws)
        last = Constant <value = int64[1] {2}> ()
        flat = Squeeze (scores, last)
        k = Constant <value = int64[1] {5}> ()
        best, at = TopK (flat, k)
        all = MatMul (x, wb)
        apart = Unsqueeze (at, last)
        shape = Constant <value = int64[3] {1, 1, 4}> ()
        wide = Expand (apart, shape)
        boxes = GatherElements <axis = 1> (all, wide)
    }"""
    _, expose = exposed(text, ws=WEIGHTS["wc"][:, :1], wb=WEIGHTS["wb"])
    assert expose.entering == ["flat", "all"]
    assert set(expose.behind) == {"best", "boxes"}


def test_a_map_of_classes_is_judged_by_what_the_largest_is_taken_of():
    text = """(float[N, 8, 5] x) => (int64[N, 5] y) {
        scores = Conv (x, w)
        y = ArgMax <axis = 1, keepdims = 0> (scores)
    }"""
    treated, expose = exposed(text, w=RNG.standard_normal((3, 8, 1)).astype(np.float32))
    assert expose.entering == ["scores"]
    assert expose.behind == {"y": "ArgMax 'y'"}
    assert treated.graph.outputs[1].dtype == ir.DataType.FLOAT


def test_an_output_that_enters_a_selection_stands_for_it_as_it_is():
    text = """(float[N, 8] x) => (int64[N] label, float[N, 3] p) {
        z = MatMul (x, wc)
        p = Softmax (z)
        label = ArgMax <axis = 1, keepdims = 0> (p)
    }"""
    treated, expose = exposed(text)
    assert expose.entering == ["p"]
    assert expose.behind == {"label": "ArgMax 'label'"}
    assert len(treated.graph.outputs) == 2


def test_numbers_that_are_compared_before_non_zero():
    text = """(float[N, 8] x) => (int64[2, M] places) {
        y = MatMul (x, wc)
        p = Sigmoid (y)
        half = Constant <value = float {0.5}> ()
        over = Greater (p, half)
        places = NonZero (over)
    }"""
    assert exposed(text)[1].entering == ["p"]


def test_of_two_selections_the_first_counts():
    text = """(float[20, 8] x) => (float[K] y) {
        scores = MatMul (x, ws)
        last = Constant <value = int64[1] {1}> ()
        flat = Squeeze (scores, last)
        ten = Constant <value = int64[1] {10}> ()
        some, at = TopK (flat, ten)
        twice = Add (some, some)
        five = Constant <value = int64[1] {5}> ()
        y, again = TopK (twice, five)
    }"""
    assert exposed(text, ws=WEIGHTS["wc"][:, :1])[1].entering == ["flat"]


@pytest.mark.parametrize(
    "text",
    [
        # Chosen by what is fed, as texts end at their last token.
        """(int64[N, 5] ids, float[N, 5, 8] x) => (float[N, 3] y) {
            end = ArgMax <axis = 1, keepdims = 1> (ids)
            last = Constant <value = int64[1] {2}> ()
            apart = Unsqueeze (end, last)
            all = MatMul (x, wc)
            shape = Constant <value = int64[3] {1, 1, 3}> ()
            wide = Expand (apart, shape)
            one = GatherElements <axis = 1> (all, wide)
            middle = Constant <value = int64[1] {1}> ()
            y = Squeeze (one, middle)
        }""",
        # A choice of experts, with weights behind it.
        """(float[N, 8] x) => (float[N, 2] y) {
            scores = MatMul (x, wc)
            k = Constant <value = int64[1] {2}> ()
            best, at = TopK (scores, k)
            y = MatMul (best, wx)
        }""",
        "(float[N, 8] x) => (float[N, 3] y) { y = MatMul (x, wc) }",
    ],
)
def test_other_outputs_stay_as_they_are(text):
    wx = np.ones((2, 2), np.float32)
    treated, expose = exposed(text, **WEIGHTS, wx=wx)
    assert expose.behind == {}
    assert expose.entering == []
    assert len(treated.graph.outputs) == 1


def test_a_selection_in_a_branch():
    text = """(float[20, 8] x, bool some) => (float[K] y) {
        scores = MatMul (x, ws)
        last = Constant <value = int64[1] {1}> ()
        y = If (some) <
            then_branch = a () => (float[K] u) {
                flat = Squeeze (scores, last)
                five = Constant <value = int64[1] {5}> ()
                u, at = TopK (flat, five)
            },
            else_branch = b () => (float[K] v) { v = Squeeze (scores, last) }
        >
    }"""
    _, expose = exposed(text, ws=WEIGHTS["wc"][:, :1])
    assert expose.entering == ["scores"]
    assert expose.behind == {"y": "If 'y'"}
