"""Fine-tuning: its loss is the divergence, it repeats, it never makes a model worse."""

from __future__ import annotations

import copy
from itertools import pairwise

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from builders import BUNDLED, BUNDLED_DATA, distribution, model, normal
from hypothesis import given
from hypothesis import strategies as st
from torch_executor.devices import DEVICES

torch = pytest.importorskip("torch")

from onnx_factorize import InputError, factorize  # noqa: E402
from onnx_factorize.calibration import Signature, open_calibration  # noqa: E402
from onnx_factorize.finetune.distillation import Distillation  # noqa: E402
from onnx_factorize.finetune.shuffled import shuffled  # noqa: E402
from onnx_factorize.finetune.teacher import Teacher  # noqa: E402
from onnx_factorize.finetune.trainer import finetune  # noqa: E402
from onnx_factorize.options import Options, Selection, Training  # noqa: E402
from onnx_factorize.passes import OutputKind  # noqa: E402
from onnx_factorize.pipeline import calibrated  # noqa: E402
from onnx_factorize.progress import Progress  # noqa: E402
from onnx_factorize.runtime.runtimes.onnx_runtime import OnnxRuntime  # noqa: E402

KINDS = [
    OutputKind("categorical", -1, "logit"),
    OutputKind("categorical", 1, "log-probability"),
    OutputKind("categorical", 1, "probability"),
    OutputKind("categorical", None, "probability"),
    OutputKind("bernoulli"),
    OutputKind("gaussian"),
]


@given(st.integers(0, 10**6), st.sampled_from(KINDS), st.booleans())
def test_the_loss_is_the_divergence(seed, kind, masked):
    rng = np.random.default_rng(seed)
    p, q = (rng.normal(size=(3, 5, 5)).astype(np.float32) for _ in range(2))
    if kind.kind != "gaussian" and kind.scale != "logit":
        p, q = 1 / (1 + np.exp(-p)), 1 / (1 + np.exp(-q))
        if kind.kind == "categorical":
            axis = 2 if kind.axis is None else kind.axis
            p, q = (v / v.sum(axis, keepdims=True) for v in (p, q))
        if kind.scale == "log-probability":
            p, q = np.log(p), np.log(q)
    # A mask goes along the first two axes, which must then not be those of the classes.
    masked = masked and kind.axis != 1
    mask = rng.random((3, 5)) < 0.6 if masked else None
    if mask is not None:
        mask[0, 0] = True
    output = distribution(kind, p, mask)
    wanted = output.compare(p, q, len(p), mask).divergence
    found = Distillation({"y": output})({"y": p}, {"y": torch.from_numpy(q)}, mask)
    assert float(found) == pytest.approx(wanted, rel=2e-3, abs=1e-5)


MASK = np.arange(6) < np.array([[6], [3], [1], [4]])


@pytest.mark.parametrize(
    ("kind", "shape", "mask"),
    [
        pytest.param(OutputKind("gaussian"), (4, 6, 5), MASK, id="gaussian"),
        pytest.param(OutputKind("gaussian"), (24, 5), MASK, id="positions-joined"),
        pytest.param(OutputKind("gaussian"), (4, 6), MASK, id="pooled-as-wide-as-long"),
        pytest.param(OutputKind("categorical", 1, "logit"), (4, 5, 6), MASK, id="classes-first"),
        pytest.param(OutputKind("categorical", 2, "logit"), (4, 6, 5), MASK, id="classes-last"),
        pytest.param(OutputKind("categorical", 1, "logit"), (24, 5), MASK, id="classes-joined"),
        pytest.param(OutputKind("gaussian"), (4, 6, 5), MASK & False, id="nothing-but-padding"),
    ],
)
def test_padding_counts_where_the_divergence_counts_it(kind, shape, mask):
    p, q = normal(1, *shape), normal(2, *shape)
    positions = p.shape[:2] == mask.shape and p.ndim == 3
    if positions:
        # Unlike any data, so that counting it cannot go unseen.
        p[~mask] *= 50
    output = distribution(kind, p, mask if mask.any() else None)
    wanted = output.compare(p, q, 4, mask).divergence
    trained = torch.from_numpy(q).requires_grad_()
    found = Distillation({"y": output})({"y": p}, {"y": trained}, mask)
    found.backward()
    assert float(found.detach()) == pytest.approx(wanted, rel=1e-4)
    assert torch.isfinite(trained.grad).all()


@pytest.mark.parametrize("axis", [1, 2])
@pytest.mark.parametrize("fill", [None, -1e9])
def test_parts_and_constants_count_as_in_the_divergence(axis, fill):
    rng = np.random.default_rng(0)
    scale = np.array([200.0, 150, 1, 1.5, 0.8])
    p, q = (rng.normal(size=(40, 6, 5)) * scale + scale for _ in range(2))
    p, q = (np.ascontiguousarray(np.moveaxis(v, 2, axis)).astype(np.float32) for v in (p, q))
    if fill is not None:
        where = rng.random(p.shape) < 0.2
        p[where] = q[where] = fill
    output = distribution(OutputKind("gaussian"), p)
    assert len(output.parts) == 2
    wanted = output.compare(p, q, 40).divergence
    found = Distillation({"y": output})({"y": p}, {"y": torch.from_numpy(q)})
    assert float(found) == pytest.approx(wanted, rel=1e-4)


def test_a_shift_counts_where_classes_are_a_guess():
    p = normal(1, 50, 4)
    output = distribution(OutputKind("categorical", -1, "logit", certain=False), p)
    q = p + np.float32(0.4)
    wanted = output.compare(p, q, 50).divergence
    found = Distillation({"y": output})({"y": p}, {"y": torch.from_numpy(q)})
    assert float(found) == pytest.approx(wanted, rel=1e-4)
    assert wanted > 0.01


def test_events_that_are_certain_have_the_same_divergence():
    p = np.array([1.0, 0.0, 1.0, 0.5, 0.0], np.float32)
    q = np.array([1 - 1e-7, 1e-7, 0.0, 1.0, 1.0], np.float32)
    output = distribution(OutputKind("bernoulli"), p)
    wanted = output.compare(p, q, 5).divergence
    found = Distillation({"y": output})({"y": p}, {"y": torch.from_numpy(q)})
    assert float(found) == pytest.approx(wanted, rel=1e-4)


def _data(x, **options):
    graph = ir.from_proto(model("(float[b, 6] x) => (float[b, 6] y) { y = Neg (x) }"))
    return open_calibration([{"x": x}], Signature.of(graph), Selection(holdout=0.0, **options))


def test_every_sample_comes_once_in_an_order_of_the_seed():
    x = np.arange(100, dtype=np.float32)[:, None].repeat(6, 1)
    data = _data(x, batch_size=8)
    only = np.arange(100) % 10 != 0

    def order(seed):
        batches = shuffled(data, only, np.random.default_rng(seed))
        return [int(v) for batch in batches for v in batch.feeds["x"][:, 0]]

    assert sorted(order(0)) == np.flatnonzero(only).tolist()
    assert order(0) == order(0) != order(1)
    assert np.abs(np.diff(order(0))).mean() > 10


MLP = """(float[b, 24] x) => (float[b, 6] y) {
    h = Gemm (x, w1, b1)
    r = Relu (h)
    y = MatMul (r, w2)
}"""
WEIGHTS = {"w1": normal(1, 24, 32) / 5, "b1": normal(2, 32), "w2": normal(3, 32, 6) / 4}
OUTPUTS = {"y": distribution(OutputKind("categorical", -1, "logit"), np.eye(6))}


def _damaged(scale):
    weights = {**WEIGHTS, "w2": WEIGHTS["w2"] + scale * normal(9, 32, 6)}
    return ir.from_proto(model(MLP, weights))


def _taught(compressed, training, feeds=None, *, seed=0, advance=lambda _: None, computed=()):
    """Trains a compressed network towards the one that is not damaged."""
    dense, runtime = ir.from_proto(model(MLP, WEIGHTS)), OnnxRuntime(threads=1)
    feeds = feeds or {"x": normal(5, 256, 24).astype(np.float32)}
    data = open_calibration([feeds], Signature.of(dense), Selection(holdout=0.0))
    teacher = Teacher.of(training, dense, compressed, OUTPUTS, runtime, computed)
    return finetune(compressed, teacher, data, training, runtime, seed, advance)


def _finetune(compressed, epochs=6, rate=1e-2, seed=0, checkpoint=None, device="cpu", **options):
    training = Training(epochs, rate, checkpoint, device=device)
    return _taught(compressed, training, seed=seed, **options)


def test_what_was_lost_comes_back():
    compressed = _damaged(0.3)
    recovery = _finetune(compressed)
    assert recovery.after < 0.2 * recovery.before
    assert recovery.best == np.argmin([epoch.validation for epoch in recovery.epochs]) + 1
    assert not np.array_equal(
        compressed.graph.initializers["w2"].const_value.numpy(), WEIGHTS["w2"]
    )


def test_half_precision_trains_as_well_and_is_validated_in_single():
    single, half = (_damaged(0.3) for _ in range(2))
    expected = _finetune(single)
    found = _taught(half, Training(6, 1e-2, precision="bfloat16"))
    assert found.before == expected.before
    assert found.epochs[0].loss != expected.epochs[0].loss
    assert found.after == pytest.approx(expected.after, rel=0.2)
    weight = half.graph.initializers["w2"].const_value
    assert weight.dtype == ir.DataType.FLOAT


def test_training_keeps_to_its_threads(monkeypatch):
    seen, before = [], torch.get_num_threads()
    stepped = torch.optim.AdamW.step

    def step(self, *arguments, **options):
        seen.append(torch.get_num_threads())
        return stepped(self, *arguments, **options)

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    options = {"samples": 64, "weighting": "none", "finetune": True, "epochs": 1}
    for threads in (1, before + 1):
        factorize(BUNDLED, BUNDLED_DATA, threads=threads, **options)
        assert set(seen) == {threads}
        seen.clear()
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("device", DEVICES)
def test_it_repeats(device):
    first, second = _damaged(0.3), _damaged(0.3)
    assert _finetune(first, device=device) == _finetune(second, device=device)
    for name, value in first.graph.initializers.items():
        again = second.graph.initializers[name].const_value.numpy()
        assert np.array_equal(value.const_value.numpy(), again)


class _Killed(BaseException):
    pass


@pytest.mark.parametrize("killed_after", [[0], [3], [6, 2], [1, 20]])
@pytest.mark.parametrize("seconds", [0.0, 1e9])
@pytest.mark.parametrize("device", DEVICES)
def test_interrupted_and_resumed_it_is_the_same(
    killed_after, seconds, device, tmp_path, monkeypatch
):
    """Written after every step, or after every epoch: what comes out does not depend on it."""
    monkeypatch.setattr("onnx_factorize.finetune.training_run.SECONDS", seconds)
    path = tmp_path / "run.safetensors"
    at_once, resumed = _damaged(0.3), _damaged(0.3)
    expected = _finetune(at_once, device=device)
    for limit in killed_after:
        # First the dense model answers to all samples, batch by batch.
        steps = iter(range(256 // 32 + limit))

        def advance(_, steps=steps):
            if next(steps, None) is None:
                raise _Killed

        with pytest.raises(_Killed):
            _finetune(_damaged(0.3), checkpoint=str(path), device=device, advance=advance)
    torch.manual_seed(99)
    assert _finetune(resumed, checkpoint=str(path), device=device) == expected
    for name, value in at_once.graph.initializers.items():
        again = resumed.graph.initializers[name].const_value.numpy()
        np.testing.assert_allclose(again, value.const_value.numpy(), atol=1e-7)
    steps = []
    again = _finetune(_damaged(0.3), checkpoint=str(path), device=device, advance=steps.append)
    assert again == expected
    assert not steps
    assert [file.name for file in tmp_path.iterdir()] == ["run.safetensors"]


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    path = tmp_path / "run.safetensors"
    _finetune(_damaged(0.3), epochs=2, checkpoint=str(path))
    with pytest.raises(InputError, match="another training"):
        _finetune(_damaged(0.3), epochs=3, checkpoint=str(path))
    with pytest.raises(InputError, match="started elsewhere"):
        _finetune(_damaged(0.6), epochs=2, checkpoint=str(path))
    path.write_bytes(b"no tensors")
    with pytest.raises(InputError, match="cannot be read"):
        _finetune(_damaged(0.3), epochs=2, checkpoint=str(path))


def test_a_step_that_is_too_large_leaves_the_model_as_it_was():
    compressed = _damaged(0.01)
    before = {n: v.const_value.numpy().copy() for n, v in compressed.graph.initializers.items()}
    recovery = _finetune(compressed, epochs=3, rate=0.9)
    assert recovery.best == 0
    assert recovery.after == recovery.before
    for name, value in compressed.graph.initializers.items():
        assert np.array_equal(value.const_value.numpy(), before[name])


def test_a_rate_that_is_too_large_is_slowed_down():
    compressed = _damaged(0.02)
    recovery = _finetune(compressed, epochs=10, rate=0.3)
    rates = [epoch.learning_rate for epoch in recovery.epochs]
    assert recovery.epochs[0].validation > recovery.before
    assert min(after / before for before, after in pairwise(rates)) < 0.3
    assert recovery.after < recovery.before


def test_the_pipeline_recovers_and_reports():
    options = {"samples": 128, "threads": 1, "budget": "targets=0.05", "weighting": "activation"}
    plain = factorize(BUNDLED, BUNDLED_DATA, **options)
    tuned = factorize(BUNDLED, BUNDLED_DATA, finetune=True, epochs=4, **options)
    assert plain.report.finetune is None
    found = tuned.report.finetune
    assert found["after"] < found["before"]
    assert 0 < len(found["epochs"]) <= 4
    assert tuned.report.divergence["holdout"] < plain.report.divergence["holdout"]
    same = [layer.rank for layer in plain.report.layers]
    assert same == [layer.rank for layer in tuned.report.layers]
    assert {v.name for v in plain.model.graph.initializers.values()} == {
        v.name for v in tuned.model.graph.initializers.values()
    }


@pytest.mark.parametrize("device", DEVICES)
def test_labels_teach_what_the_dense_model_does_not_know(device):
    """Without a teacher the labels are learned, and with half of one more than with a whole one."""
    x = normal(5, 512, 24).astype(np.float32)
    labels = (x[:, 0] > 0).astype(np.int64)
    right = []
    for share in (0.0, 0.5, 1.0):
        tuned = _damaged(0.3)
        training = Training(8, 1e-2, label_share=share, device=device)
        _taught(tuned, training, {"x": x, "label": labels})
        y = OnnxRuntime(threads=1).session(tuned).run({"x": x})["y"]
        right.append(float((y.argmax(1) == labels).mean()))
    assert right[2] > 0.9
    assert right[0] < right[1]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"epochs": 0}, "^epochs"),
        ({"label_share": 1.5}, "^label_share"),
        ({"device": "tuba"}, 'device="tuba"'),
        ({"learning_rate": -1.0}, "^learning_rate"),
        ({"hidden": -1.0}, "^hidden"),
        ({"precision": "float8"}, "^precision"),
        ({"samples": 4}, "16 calibration"),
        ({"checkpoint": "no/such/folder/run.safetensors"}, "^checkpoint"),
    ],
)
def test_bad_options_are_refused(options, says):
    options = {"samples": 64, "threads": 1, "weighting": "none", **options}
    with pytest.raises(InputError, match=says):
        factorize(BUNDLED, BUNDLED_DATA, finetune=True, **options)


def test_labels_are_missed_before_the_work():
    x = np.load(BUNDLED_DATA)["image"][:64]
    with pytest.raises(InputError, match="key 'label'"):
        factorize(BUNDLED, [{"image": x}], finetune=True, label_share=0.5, threads=1)
    with pytest.raises(InputError, match="option of finetune"):
        factorize(BUNDLED, [{"image": x}], label_share=0.5, threads=1)


def test_what_torch_cannot_run_is_found_before_the_work(mlp, mlp_feeds):
    """onnxruntime has the operator, and the model can be compressed, but not trained."""
    mlp = copy.deepcopy(mlp)  # it is shared by all tests
    mlp.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    head = onnx.helper.make_node("SampleOp", ["x"], ["sampled"], "head", domain="com.microsoft")
    for node in mlp.graph.node:
        node.input[:] = ["sampled" if name == "x" else name for name in node.input]
    mlp.graph.node.insert(0, head)
    progress = Progress()
    with pytest.raises(InputError, match=r"'head' \(com.microsoft.SampleOp\)"):
        calibrated(mlp, mlp_feeds * 8, Options.of(finetune=True, threads=1), progress)
    assert "calibrate" not in progress.seconds


def test_what_is_within_the_graph_teaches_too():
    compressed, plain = _damaged(0.3), _damaged(0.3)
    for each in (compressed, plain):
        weight = each.graph.initializers["w1"]
        damaged = WEIGHTS["w1"] + 0.1 * normal(8, 24, 32)
        weight.const_value = ir.tensor(damaged.astype(np.float32), name="w1")
    dense = ir.from_proto(model(MLP, WEIGHTS))
    x = normal(5, 256, 24).astype(np.float32)

    def hidden_error(hidden, trained):
        training = Training(6, 1e-2, hidden=hidden)
        _taught(trained, training, computed=["h", "y", "none"])
        before, after = (
            OnnxRuntime(threads=1).session(each, ["h"]).run({"x": x})["h"]
            for each in (dense, trained)
        )
        return np.square(before - after).mean()

    assert hidden_error(10.0, compressed) < 0.5 * hidden_error(0.0, plain)
