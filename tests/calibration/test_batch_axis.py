"""Which axis runs over samples: decided by running the model."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from builders import model, normal

from onnx_factorize.calibration import Signature, open_calibration
from onnx_factorize.errors import InputError
from onnx_factorize.files import model_io
from onnx_factorize.options import Selection
from onnx_factorize.runtime.runtimes.onnx_runtime import OnnxRuntime

W = {"w": normal(1, 6, 4), "v": normal(2, 6, 6)}
ALL = Selection(holdout=0.0, batch_size=8)

MLP = "r = Tanh (x) y = MatMul (r, w)"
# Each row sees those before it.
SUMS = "a = Constant <value_int = 0> () c = CumSum (x, a) y = MatMul (c, w)"
# Each row sees all others, in whatever order.
MEETS = "m = ReduceMean <axes = [0], keepdims = 1> (x) c = Add (x, m) y = MatMul (c, w)"


def _proto(inputs, body, outputs="float[p, q] y", weights=W, **options):
    return model(f"({inputs}) => ({outputs}) {{ {body} }}", weights, **options)


def _open(proto, data, **options):
    loaded = model_io.load(proto)
    run = OnnxRuntime(threads=1).session(loaded).run
    return open_calibration(data, Signature.of(loaded), ALL, run=run, **options)


def _shapes(data, name="x"):
    return [batch.feeds[name].shape for batch in data.batches("calibration")]


X = normal(3, 40, 6)


@pytest.mark.parametrize("symbol", ["batch", "T", "N", "?", "sequence", "s0"])
def test_independent_rows_are_samples_whatever_the_axis_is_called(symbol):
    data = _open(_proto(f"float[{symbol}, 6] x", MLP), {"x": X})
    assert (data.available, data.axis.inputs) == (40, {"x": 0})
    assert data.axis.how == ("found" if symbol == "sequence" else "checked")
    assert (data.axis.said is None) == (symbol != "sequence")


@pytest.mark.parametrize("body", [SUMS, MEETS])
@pytest.mark.parametrize("symbol", ["T", "N", "?", "time"])
def test_rows_that_see_each_other_are_one_sample(symbol, body):
    feeds = [{"x": X[: 20 + i]} for i in range(3)]
    data = _open(_proto(f"float[{symbol}, 6] x", body, opset=17), feeds)
    assert (data.available, data.axis.inputs) == (3, {"x": None})
    assert _shapes(data) == [(20, 6), (21, 6), (22, 6)]
    assert (data.axis.said is None) == (symbol == "time")  # as its name says


def test_rows_that_depend_on_one_far_away_are_found():
    """Eight frames away: no two rows beside each other show it."""
    body = "p = Pad (x, pads) s = Slice (p, from, to) c = Add (x, s) y = MatMul (c, w)"
    weights = W | {"pads": np.array([8, 0, 0, 0]), "from": np.array([0]), "to": np.array([-8])}
    data = _open(_proto("float[frames, 6] x", body, weights=weights), [{"x": X}] * 3)
    assert (data.available, data.axis.inputs) == (3, {"x": None})


def test_a_waveform_of_one_axis_is_one_sample():
    body = "s = Reshape (x, shape) c = Conv <strides = [4]> (s, k) y = Flatten (c)"
    weights = {"shape": np.array([1, 1, -1]), "k": normal(4, 3, 1, 8)}
    proto = _proto("float[N] x", body, weights=weights)
    data = _open(proto, [{"x": normal(i, 400)} for i in range(3)])
    assert (data.available, data.axis.inputs) == (3, {"x": None})
    assert _shapes(data) == [(400,)] * 3


def test_numbers_a_sample_are_samples():
    weights = {"t": normal(5, 10, 4)}
    proto = _proto("int64[N] x", "y = Gather (t, x)", weights=weights)
    assert _open(proto, {"x": np.arange(40) % 10}).available == 40


def test_each_input_with_a_symbol_of_its_own():
    body = "c = Concat <axis = 1> (x, z) y = MatMul (c, w)"
    proto = _proto("float[a, 2] x, float[b, 4] z", body)
    data = _open(proto, {"x": X[:, :2], "z": X[:, 2:]})
    assert (data.available, data.axis.inputs) == (40, {"x": 0, "z": 0})
    assert "'x', 'z' give alone" in data.axis.said


def test_what_all_samples_share_stays_whole():
    """A scalar beside a batch; where it changes from file to file, samples are not mixed."""
    body = "c = Mul (x, rate) y = MatMul (c, w)"
    feeds = [{"x": X[:3], "rate": np.float32(r)} for r in (1, 1, 2)]
    data = _open(_proto("float[b, 6] x, float rate", body), feeds)
    assert (data.available, data.axis.inputs) == (9, {"x": 0, "rate": None})
    found = [(b.samples, float(b.feeds["rate"])) for b in data.batches("calibration")]
    assert found == [(6, 1.0), (3, 2.0)]


def test_a_state_of_another_axis_stays_whole():
    body = "h = Squeeze (state, one) m = Add (x, h) y = MatMul (m, w)"
    proto = _proto("float[b, 6] x, float[1, b, 6] state", body, weights=W | {"one": np.array([0])})
    feeds = [{"x": X[:3], "state": X[None, i : i + 3]} for i in range(4)]
    data = _open(proto, feeds)
    assert (data.available, data.axis.inputs) == (4, {"x": None, "state": None})


def test_a_batch_of_one_that_is_baked_in_runs_one_by_one():
    proto = _proto("float[batch, 6] x", "r = Reshape (x, one) y = MatMul (r, w)",
                   weights=W | {"one": np.array([1, 6])})  # fmt: skip
    data = _open(proto, {"x": X})
    assert data.available == 40
    assert set(_shapes(data)) == {(1, 6)}
    assert "one by one" in data.axis.said


def test_a_batch_by_name_whose_samples_meet_runs_one_by_one():
    data = _open(_proto("float[batch, 6] x", MEETS, opset=17), {"x": X})
    assert data.available == 40
    assert set(_shapes(data)) == {(1, 6)}
    assert "'batch' do not give together" in data.axis.said


@pytest.mark.parametrize(("body", "samples"), [(MLP, 40), (SUMS, 10), (MEETS, 10)])
def test_a_first_axis_of_a_fixed_length(body, samples):
    """A batch of four, or a window of four frames."""
    proto = _proto("float[4, 6] x", body, opset=17)
    data = _open(proto, [{"x": X[4 * i : 4 * i + 4]} for i in range(10)])
    assert data.available == samples
    assert set(_shapes(data)) == {(4, 6)}
    assert (data.axis.said is None) == (body == MLP)


@pytest.mark.parametrize(("body", "samples"), [(MLP, 40), (SUMS, 1)])
def test_an_input_of_which_nothing_is_declared(body, samples):
    proto = _proto("float[a, 6] x", body, opset=17)
    proto.graph.input[0].type.tensor_type.ClearField("shape")
    assert _open(proto, {"x": X}).available == samples


def test_files_of_one_sample_each():
    """The second row is one of the next file, or made of the first."""
    feeds = [{"x": X[i : i + 1]} for i in range(10)]
    assert _open(_proto("float[T, 6] x", SUMS), feeds).axis.inputs == {"x": None}
    assert _open(_proto("float[T, 6] x", MLP), feeds).axis.how == "checked"
    assert _open(_proto("float[T, 6] x", SUMS), feeds[:1]).axis.inputs == {"x": None}
    assert _open(_proto("float[T, 6] x", MLP), feeds[:1]).axis.how == "checked"


def test_a_model_that_draws():
    """What it draws is a function of the sample; what no analysis knows of says nothing."""
    body = "n = RandomNormalLike (x) c = Add (x, n) y = MatMul (c, w)"
    data = _open(_proto("float[batch, 6] x", body), {"x": X})
    assert (data.available, data.axis.how) == (40, "checked")
    signature = Signature.of(model_io.load(_proto("float[batch, 6] x", MLP)))
    rng = np.random.default_rng(7)

    def run(feeds):
        return {"y": rng.standard_normal(feeds["x"].shape)}

    assert open_calibration({"x": X}, signature, ALL, run=run).axis.how == "graph"


def test_outputs_with_samples_along_another_axis():
    proto = _proto("float[batch, 6] x", "m = MatMul (x, w) y = Transpose (m)")
    assert _open(proto, {"x": X}).axis.how == "checked"


@pytest.mark.parametrize("form", ["npz", "files", "rows", "ragged"])
def test_forms_of_data(form, tmp_path):
    """Wherever data come from, the model is asked."""
    proto = _proto("int64[a, s] x, int64[b, s] z", "c = Add (x, z) y = Gather (t, c)",
                   weights={"t": normal(5, 20, 4)})  # fmt: skip
    ids = np.random.default_rng(6).integers(0, 10, (12, 5))
    if form == "npz":
        np.savez(tmp_path / "a.npz", x=ids, z=ids)
    elif form == "files":
        for index, row in enumerate(ids):
            np.savez(tmp_path / f"{index:02}.npz", x=row[None], z=row[None])
    rows = [{"x": row.tolist(), "z": row.tolist()} for row in ids]
    lists = [row[: 3 + i % 2].tolist() for i, row in enumerate(ids)]
    data = {"rows": rows, "ragged": [{"x": lists, "z": lists}]}.get(form, tmp_path)
    assert _open(proto, data).available == 12


@pytest.mark.parametrize("given", [{"x": None}, {"x": "none"}])
def test_what_the_user_says(given):
    feeds = [{"x": X}] * 3
    data = _open(_proto("float[batch, 6] x", MLP), feeds, batch_axis=given)
    assert (data.available, data.axis.how, data.axis.said) == (3, "given", None)
    over = _open(_proto("float[time, 6] x", SUMS), feeds, batch_axis={"x": "0"})
    assert over.available == 120


def test_the_user_may_name_one_input_of_several():
    proto = _proto("float[b, 6] x, float[c, 6] z", "a = Add (x, z) y = MatMul (a, w)")
    feeds = [{"x": X[:4], "z": X[:1]}] * 3
    data = _open(proto, feeds, batch_axis={"x": 0})
    assert (data.available, data.axis.inputs) == (12, {"x": 0, "z": None})
    with pytest.raises(InputError, match="names 'y', but the model's inputs are x, z"):
        _open(proto, feeds, batch_axis={"y": 0})
    with pytest.raises(InputError, match="--batch-axis x=1: samples are read along axis 0"):
        _open(proto, feeds, batch_axis={"x": 1})


def test_data_that_do_not_run_are_not_judged():
    """What is wrong with them is said where they are used."""
    proto = _proto("int64[batch, 5] x", "y = Gather (t, x)", weights={"t": normal(5, 20, 4)})
    data = _open(proto, {"x": np.full((12, 5), 99)})
    assert (data.available, data.axis.how) == (12, "graph")


def test_without_a_model_the_graph_is_believed():
    signature = Signature.of(ir.from_proto(_proto("float[T, 6] x", SUMS)))
    data = open_calibration({"x": X}, signature, ALL)
    assert (data.available, data.axis.how) == (40, "graph")
