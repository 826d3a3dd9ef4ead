"""Taps: the values that calibration watches, wherever they are."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from builders import found, model, normal, ops, session

from onnx_factorize.passes import CleanUp, Observe

W = {"w": normal(1, 8, 12), "v": normal(2, 12, 8), "u": normal(3, 12, 8)}


def _observed(proto):
    normal_model, finder = found(proto)
    observe = Observe([target.name for target in finder.targets])
    observe(normal_model)
    return normal_model, observe.taps, {t.name: t for t in finder.targets}


def test_taps_give_the_narrow_side():
    proto = model(
        "(float[b, 8] x) => (float[b, 8] y) "
        "{ [a] h = MatMul (x, w) r = Relu (h) [b] z = MatMul (r, v) y = Relu (z) }",
        W,
    )
    observed, taps, targets = _observed(proto)
    x = normal(4, 5, 8)
    runner = session(observed)
    values = dict(
        zip([o.name for o in runner.get_outputs()], runner.run(None, {"x": x}), strict=True)
    )
    h = x @ W["w"]
    assert (targets["a"].side, targets["b"].side) == ("input", "output")
    np.testing.assert_allclose(values[taps["a"]], x, atol=1e-5)
    np.testing.assert_allclose(values[taps["b"]], np.maximum(h, 0) @ W["v"], atol=1e-4)


def test_targets_that_read_one_value_share_its_tap():
    proto = model(
        "(float[b, 8] x) => (float[b, 12] y) { r = Relu (x) [q] p = MatMul (r, w) "
        "[k] s = MatMul (r, t) y = Add (p, s) }",
        {"w": W["w"], "t": normal(5, 8, 12)},
    )
    observed, taps, _ = _observed(proto)
    assert taps["q"] == taps["k"]
    assert len(observed.graph.outputs) == 2


def test_branches_that_do_not_run_say_so():
    proto = model(
        """(float[b, 12] x, bool c) => (float[?, ?] y) { y = If (c) <
            then_branch = t () => (float[?, ?] p) { n = Neg (x) [yes] p = MatMul (n, v) },
            else_branch = e () => (float[?, ?] q) { m = Abs (x) [no] q = MatMul (m, u) } > }""",
        W,
    )
    observed, taps, _ = _observed(proto)
    runner = session(observed)
    x = normal(4, 5, 12)
    for c in (True, False):
        outputs = runner.run([taps["yes"], taps["no"]], {"x": x, "c": np.array(c)})
        ran, idle = outputs if c else outputs[::-1]
        assert idle.size == 0
        wanted = -x @ W["v"] if c else np.abs(x) @ W["u"]
        np.testing.assert_allclose(ran, wanted, atol=1e-4)


def test_the_outputs_of_the_user_stay_first():
    proto = model("(float[b, 8] x) => (float[b, 12] y) { [a] h = MatMul (x, w) y = Relu (h) }", W)
    observed, _, _ = _observed(proto)
    assert observed.graph.outputs[0].name == "y"
    assert ops(ir.to_proto(observed))[:2] == ["MatMul", "Relu"]


def test_clean_up_keeps_what_is_read_fed_or_given():
    proto = model(
        "(float[b, 8] x, float[3] fed) => (float[b, 12] y, float[2] given) "
        "{ [a] y = MatMul (x, w) }",
        {"w": W["w"], "fed": normal(1, 3), "given": normal(2, 2), "unread": normal(3, 4)},
    )
    loaded = ir.from_proto(proto)
    result = CleanUp()(loaded)
    assert result.modified
    assert set(loaded.graph.initializers) == {"w", "fed", "given"}
    assert not CleanUp()(loaded).modified


_BODIES = {
    "loop": """(float[3, 8] x, int64 n, bool c) => (float[3, 8] y) {
        y = Loop (n, c, x) <body = body (int64 i, bool go, float[3, 8] s)
            => (bool on, float[3, 8] t) {
            on = Identity (go) [a] h = MatMul (s, w) r = Tanh (h) [b] t = MatMul (r, v) }> }""",
    "nested": """(float[3, 8] x, int64 n, bool c) => (float[3, 8] y) {
        y = If (c) <
            then_branch = yes () => (float[3, 8] p) {
                p = Loop (n, c, x) <
                    body = body (int64 i, bool go, float[3, 8] s) => (bool on, float[3, 8] t) {
                        on = Identity (go) [a] h = MatMul (s, w) r = Tanh (h)
                        [b] t = MatMul (r, v) }> },
            else_branch = no () => (float[3, 8] q) { q = Neg (x) }> }""",
}


@pytest.mark.parametrize("form", list(_BODIES))
@pytest.mark.parametrize("opset", [9, 13, 20])
@pytest.mark.parametrize("steps", [0, 1, 4])
def test_iterations_leave_a_body_as_rows(form, opset, steps):
    observed, taps, targets = _observed(model(_BODIES[form], W, opset=opset))
    x = normal(4, 3, 8)
    feeds = {"x": x, "n": np.array(steps), "c": np.array(True)}
    runner = session(observed)
    values = dict(zip([o.name for o in runner.get_outputs()], runner.run(None, feeds), strict=True))
    states, given = [], []
    for _ in range(steps):
        states.append(x)
        x = np.tanh(x @ W["w"]) @ W["v"]
        given.append(x)
    assert (targets["a"].side, targets["b"].side) == ("input", "output")
    for tap, wanted in ((taps["a"], states), (taps["b"], given)):
        assert len(values[tap]) == 3 * steps
        if steps:
            np.testing.assert_allclose(values[tap], np.concatenate(wanted), atol=1e-4)


def test_steps_of_a_convolution_are_samples():
    proto = model(
        """(float[2, 5, 9] x, int64 n) => (float[2, 5, 9] y) {
            xs = Concat <axis = 0> (x3, x3) y1, s = Scan <num_scan_inputs = 1, body = body (
                float[2, 5, 9] h, float[2, 5, 9] p) => (float[2, 5, 9] h2, float[2, 5, 9] o) {
                    [c] q = Conv <pads = [1, 1]> (h, k) h2 = Add (q, p) o = Identity (q) }> (x, xs)
            y = Identity (y1) }""",
        {"k": normal(5, 5, 5, 3)},
    )
    proto.graph.node.insert(0, onnx.helper.make_node("Unsqueeze", ["x", "zero"], ["x3"]))
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.array([0]), "zero"))
    observed, taps, _ = _observed(proto)
    x = normal(4, 2, 5, 9)
    runner = session(observed)
    values = dict(
        zip(
            [o.name for o in runner.get_outputs()],
            runner.run(None, {"x": x, "n": np.array(1)}),
            strict=True,
        )
    )
    assert values[taps["c"]].shape == (4, 5, 9)
