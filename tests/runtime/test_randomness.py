"""Models that draw random numbers: their noise is no loss."""

import numpy as np
import onnx_ir as ir
import pytest

from onnx_factorize import compare, factorize
from onnx_factorize.runtime.interleaved import latencies
from onnx_factorize.runtime.randomness import randomness_of
from onnx_factorize.runtime.runtimes.onnx_runtime import OnnxRuntime
from tests.builders import model
from tests.commands import main_of

# The encoder of a variational autoencoder.
TEXT = """(float[N, 48] x) => (float[N, 16] z) {
    a = MatMul (x, w1)
    b = Relu (a)
    mean = MatMul (b, w2)
    e = RandomNormalLike (mean)
    z = Add (mean, e)
}"""


def encoder(opset=17):
    rng = np.random.default_rng(0)
    decay = np.exp(-0.15 * np.arange(48))
    weights = {
        "w1": rng.standard_normal((48, 48)) * decay / 3,
        "w2": rng.standard_normal((48, 16)) / 3,
    }
    return model(TEXT, {n: w.astype(np.float32) for n, w in weights.items()}, opset=opset)


def data(samples=96):
    rng = np.random.default_rng(1)
    return [{"x": rng.standard_normal((samples, 48)).astype(np.float32)}]


def test_noise_is_no_loss_and_plans_see_none():
    dense = encoder()
    result = factorize(dense, data(), budget="targets=0.7", threads=1)
    found = result.report
    assert found.divergence["holdout"] < 0.05
    assert found.divergence["predicted"] < 0.05
    assert found.random == {"nodes": ("RandomNormalLike 'e'",), "runs": True}
    written = ir.to_proto(result.model)
    assert [value.name for value in written.graph.input] == ["x"]
    assert sum(node.op_type == "RandomNormalLike" for node in written.graph.node) == 1
    comparison = compare(dense, result.model, data(), threads=1)
    assert comparison.agreement.divergence < 0.05
    assert comparison.random is not None


def test_results_do_not_depend_on_the_size_of_batches():
    divergences = [
        factorize(
            encoder(), data(), budget="targets=0.7", weighting="activation", batch_size=size
        ).report.divergence["holdout"]
        for size in (1, 32)
    ]
    assert divergences[0] == pytest.approx(divergences[1], rel=1e-4)


def test_where_onnxruntime_has_no_kernel_the_model_is_analysed_all_the_same():
    result = factorize(encoder(22), data(), budget="targets=0.7", threads=1)
    assert result.report.divergence["holdout"] < 0.05
    assert result.report.random == {"nodes": ("RandomNormalLike 'e'",), "runs": False}
    assert sum("no kernel for RandomNormalLike 'e'" in w for w in result.report.warnings) == 1


def test_what_is_timed_draws():
    session = OnnxRuntime(threads=1).session(ir.from_proto(encoder()))
    assert session.as_written is not session
    assert latencies([session], data(1)[0], seconds=0).least[0] > 0
    assert randomness_of(session).warning is None
    plain = OnnxRuntime().session(
        ir.from_proto(model("(float[N] x) => (float[N] y) { y = Neg (x) }"))
    )
    assert randomness_of(plain) is None


def test_the_command_line_says_that_the_model_draws(tmp_path, monkeypatch, capsys):
    (tmp_path / "m.onnx").write_bytes(encoder().SerializeToString())
    np.savez(tmp_path / "d.npz", **data()[0])
    arguments = [str(tmp_path / "m.onnx"), str(tmp_path / "m.onnx")]
    arguments = ["compare", *arguments, "--calib", str(tmp_path / "d.npz"), "--threads", "1"]
    _, out, _ = main_of(arguments, monkeypatch, capsys)
    said = " ".join(out.split())
    assert "the model draws random numbers (RandomNormalLike 'e')" in said
    assert "divergence 0 nats" in said


def test_training_gets_the_same_numbers():
    pytest.importorskip("torch")
    result = factorize(encoder(), data(), budget="targets=0.5", finetune=True, epochs=2, threads=1)
    assert result.report.finetune["before"] < 0.2
    assert result.report.finetune["after"] <= result.report.finetune["before"]
