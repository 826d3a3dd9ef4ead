"""Another basis between two factors: the same function, and less lost to rounding."""

from __future__ import annotations

import hypothesis
import numpy as np
import onnx_ir as ir
import pytest
from builders import assert_close, check, found, model, normal, run, svd_factors
from generated_convolutions import convolutions
from generated_graphs import graphs
from hypothesis import strategies as st

from onnx_factorize.calibration import Signature, open_calibration
from onnx_factorize.files.model_io import load
from onnx_factorize.options import Selection
from onnx_factorize.passes import Factors, RewriteTargets, RotateFactors
from onnx_factorize.quantization.quantizers import quantize
from onnx_factorize.quantization.rounding import REDUCED, Rounding

TOLERANCES = {np.float16: 4e-2, np.float32: 1e-4, np.float64: 1e-10}

PRODUCT = "(float[b, 48] x) => (float[b, 40] y) { [c] h = MatMul (x, w)\n y = Add(h, b) }"


def _pair(proto, rank, spread=1.0):
    """A model with its target cut to a rank, sizes of components apart by a factor."""
    made = load(proto)
    (target,) = found(made)[1].targets
    factors = svd_factors(target, rank)
    sizes = np.geomspace(1, spread, factors.rank)
    factors = Factors(factors.down * sizes, factors.up / sizes[:, None])
    RewriteTargets({target.name: factors})(made)
    return made


@hypothesis.settings(
    max_examples=25, suppress_health_check=list(hypothesis.HealthCheck), deadline=None
)
@hypothesis.given(graphs(), st.integers(1, 5), st.sampled_from([1.0, 1e3]))
def test_graphs_compute_what_they_computed(graph, rank, spread):
    dense, feeds = graph.proto(graph.weight()), graph.feeds()
    if not found(load(dense))[1].targets:
        return
    pair = _pair(dense, rank, 1.0 if graph.dtype is np.float16 else spread)
    rotated, turn = pair.clone(), RotateFactors()
    turn(rotated)
    assert turn.count == 1 or "batched" in graph.kind or "left" in graph.kind
    wanted = run(ir.to_proto(pair), feeds)
    for a, b in zip(run(ir.to_proto(rotated), feeds), wanted, strict=True):
        if b.dtype.kind == "f":
            assert_close(a, b, TOLERANCES[graph.dtype])


@hypothesis.settings(
    max_examples=25, suppress_health_check=list(hypothesis.HealthCheck), deadline=None
)
@hypothesis.given(convolutions(), st.integers(1, 3))
def test_convolutions_compute_what_they_computed(convolution, rank):
    text, weights, x = convolution
    proto = model(text, weights)
    (target,) = found(proto)[1].targets
    for unfolding in (target, *target.unfoldings):
        made = load(proto)
        factors = svd_factors(unfolding, min(rank, unfolding.full_rank))
        RewriteTargets({unfolding.name: factors})(made)
        wanted = run(check(made), {"x": x})[0]
        RotateFactors()(made)
        assert_close(run(check(made), {"x": x})[0], wanted, 1e-4)


def test_no_component_is_small_afterwards():
    made = _pair(model(PRODUCT, {"w": normal(1, 48, 40), "b": normal(2, 40)}), 16, spread=1e3)
    RotateFactors()(made)
    weights = [v.const_value.numpy() for v in made.graph.initializers.values()]
    down, up = (w for w in weights if w.ndim == 2)
    for sizes in (np.linalg.norm(down, axis=0), np.linalg.norm(up, axis=1)):
        assert sizes.max() < 2 * sizes.min()


def test_what_others_read_and_dense_operators_stay():
    dense = load(model(PRODUCT, {"w": normal(1, 48, 40), "b": normal(2, 40)}))
    turn = RotateFactors()
    turn(dense)
    assert not turn.count
    shared = _pair(model(PRODUCT, {"w": normal(1, 48, 40), "b": normal(2, 40)}), 8)
    first = next(node for node in shared.graph if node.op_type == "MatMul")
    twin = ir.node("MatMul", list(first.inputs))
    shared.graph.append(twin)
    shared.graph.outputs.append(twin.outputs[0])
    turn(shared)
    assert not turn.count


def test_a_table_turns_with_what_reads_its_rows():
    text = "(int64[b, 3] i) => (float[b, 3, 40] y) { [e] y = Gather (w, i) }"
    made = _pair(model(text, {"w": normal(1, 90, 40)}), 8, spread=100.0)
    feeds = {"i": np.arange(12).reshape(4, 3)}
    wanted, turn = run(check(made), feeds)[0], RotateFactors()
    turn(made)
    assert turn.count == 1
    assert_close(run(check(made), feeds)[0], wanted, 1e-4)


@pytest.mark.parametrize("spread", [1e2, 1e3])
def test_int8_loses_less_of_components_that_differ(spread):
    rng = np.random.default_rng(0)
    decaying = rng.standard_normal((48, 48)) * np.geomspace(1, 0.01, 48)
    w = (np.linalg.qr(rng.standard_normal((48, 48)))[0] @ decaying)[:, :40].astype(np.float32)
    plain = _pair(model(PRODUCT, {"w": w, "b": normal(2, 40)}), 24, spread)
    x = normal(4, 200, 48)
    data = open_calibration([{"x": x}], Signature.of(plain), Selection(batch_size=16), None)
    wanted = run(check(plain), {"x": x})[0]
    ways = Rounding("7 bits", rotated=False, reduced=True), REDUCED
    small = [quantize(plain, "dynamic", data, rounding=way) for way in ways]
    lost = [np.square(run(check(each), {"x": x})[0] - wanted).sum() for each in small]
    assert lost[1] < 0.5 * lost[0]
