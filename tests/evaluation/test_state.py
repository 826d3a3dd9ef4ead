"""Models that feed themselves are verified along the stream too."""

import numpy as np
import onnx_ir as ir
import pytest

from onnx_factorize import compare, factorize
from onnx_factorize.calibration import Signature, open_calibration
from onnx_factorize.errors import InputError
from onnx_factorize.evaluation.state import State, find_state
from onnx_factorize.options import Selection
from onnx_factorize.runtime.runtimes.onnx_runtime import OnnxRuntime
from tests.builders import model, run
from tests.commands import main_of

RUNTIME = OnnxRuntime(threads=1)

# An integrator: the state forgets a hundredth of itself at each step.
TEXT = """(float[1, 16] x, float[1, 16] memory) => (float[1, 8] y, float[1, 16] kept) {
    most = Constant <value_float = 0.99> ()
    new = MatMul (x, w1)
    old = Mul (memory, most)
    kept = Add (old, new)
    y = MatMul (kept, w2)
}"""


def integrator():
    rng = np.random.default_rng(0)
    decay = np.exp(-0.3 * np.arange(16))
    weights = {"w1": rng.standard_normal((16, 16)) * decay, "w2": rng.standard_normal((16, 8))}
    return model(TEXT, {n: w.astype(np.float32) / 4 for n, w in weights.items()}, opset=17)


def steps(count=48, *, own=True, restart=10**6):
    """Feeds, each with the state that the step before gave, or with none."""
    rng = np.random.default_rng(1)
    nothing = np.zeros((1, 16), np.float32)
    dense, memory, feeds = integrator(), nothing, []
    for number in range(count):
        if number % restart == 0:
            memory = nothing
        x = (1 + rng.standard_normal((1, 16))).astype(np.float32)
        feeds.append({"x": x, "memory": memory})
        memory = run(dense, feeds[-1])[1] if own else nothing
    return feeds


def found(feeds, asked=None):
    dense = ir.from_proto(integrator())
    data = open_calibration(feeds, Signature.of(dense), Selection(), None)
    return find_state(dense, data, asked, RUNTIME)


def test_data_that_are_steps_of_a_stream_show_it():
    assert found(steps()) == (State({"memory": "kept"}, certain=True), None)
    assert found(steps(restart=6))[0] is not None


def test_other_data_do_not_and_nothing_is_guessed():
    assert found(steps(own=False)) == (None, None)
    rng = np.random.default_rng(2)
    shuffled = steps()
    rng.shuffle(shuffled)
    assert found(shuffled)[0] is None
    assert found(steps(), "none") == (None, None)


def test_names_that_are_alike_are_worth_a_hint():
    dense = ir.from_proto(integrator())
    dense.graph.inputs[1].name = "state"
    dense.graph.outputs[1].name = "stateN"
    feeds = [{"x": f["x"], "state": f["memory"]} for f in steps(own=False)]
    data = open_calibration(feeds, Signature.of(dense), Selection(), None)
    state, hint = find_state(dense, data, None, RUNTIME)
    assert state is None
    assert "add --state state=stateN" in hint


@pytest.mark.parametrize(
    ("asked", "said"),
    [({"m": "kept"}, "'m', which is no input"), ({"memory": "z"}, "'z', which is no output")],
)
def test_what_is_no_state_is_refused(asked, said):
    with pytest.raises(InputError, match=said):
        found(steps(), asked)


def streamed(feeds, small, starts):
    """The mean square of what two models differ by, with states of their own, shape (1, 8)."""
    dense, error = integrator(), 0.0
    states = {}
    for number, feed in enumerate(feeds):
        answers = []
        for name, each in (("dense", dense), ("small", small)):
            memory = feed["memory"] if number in starts else states[name]
            y, states[name] = run(each, feed | {"memory": memory})
            answers.append(y)
        error += np.square(answers[0] - answers[1])
    return error / len(feeds)


def test_errors_of_the_state_add_up_and_are_said():
    feeds = steps()
    result = factorize(integrator(), feeds, budget="targets=0.6", threads=1, effort="high")
    stream, single = result.report.stream, result.report.divergence
    assert stream["state"] == {"memory": "kept"}
    assert stream["certain"]
    assert (stream["steps"], stream["streams"]) == (48, 1)
    assert stream["divergence"] > 2 * single["holdout"]
    # In the unit of the report: half of the error over the variance of each column.
    error = streamed(feeds, ir.to_proto(result.model), {0})
    y = np.stack([run(integrator(), feed)[0] for feed in feeds])
    expected = (error / y.var(axis=0) / 2).mean()
    assert stream["outputs"]["y"]["divergence"] == pytest.approx(expected, rel=0.3)


def test_the_state_of_the_data_is_taken_where_a_stream_begins():
    report = factorize(integrator(), steps(restart=12), budget="targets=0.6", threads=1).report
    assert report.stream["streams"] == 4


def test_the_user_says_what_is_carried(tmp_path, monkeypatch, capsys):
    feeds = steps(own=False)
    report = factorize(
        integrator(), feeds, budget="targets=0.6", threads=1, state={"memory": "kept"}
    ).report
    assert not report.stream["certain"]
    assert report.stream["divergence"] > report.divergence["holdout"]
    assert factorize(integrator(), feeds, budget="targets=0.6", threads=1).report.stream is None
    (tmp_path / "m.onnx").write_bytes(integrator().SerializeToString())
    (tmp_path / "d").mkdir()
    for number, feed in enumerate(feeds[:8]):
        np.savez(tmp_path / "d" / f"{number}.npz", **feed)
    arguments = [str(tmp_path / "m.onnx")] * 2 + ["--calib", str(tmp_path / "d"), "--threads", "1"]
    _, out, _ = main_of(["compare", *arguments, "--state", "memory=kept"], monkeypatch, capsys)
    assert "along the stream (kept to memory: --state)" in " ".join(out.split())
    _, out, _ = main_of(["compare", *arguments, "--state", "none"], monkeypatch, capsys)
    assert "stream" not in out
    code, _, err = main_of(["compare", *arguments, "--state", "memory"], monkeypatch, capsys)
    assert code == 1
    assert "is not of the form IN=OUT" in err


def test_compare_runs_along_the_stream_too():
    dense = integrator()
    found = compare(dense, dense, steps(), threads=1)
    assert found.stream.divergence == pytest.approx(0, abs=1e-9)
    assert found.stream.steps == 48
