"""What reads several groups of channels beside each other, each of which may be narrowed."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from onnx_factorize.factorization.rewriting import rewritten
from onnx_factorize.factorization.standing_graph import StandingGraph
from onnx_factorize.options import Options
from onnx_factorize.pipeline import calibrated
from onnx_factorize.progress import Progress
from onnx_factorize.runtime.runtimes import runtime_of

TEXT = """<ir_version: 8, opset_import: ["": 17]>
two (float[N, 3, 6, 6] x) => (float[N, 5] logits) {
  left = Conv<pads=[1, 1, 1, 1]>(x, wa, ba)
  a = Relu(left)
  right = Conv<pads=[1, 1, 1, 1]>(x, wb)
  b = Sigmoid(right)
  both = Concat<axis=1>(a, x, b)
  mixed = Conv(both, wc, bc)
  c = Relu(mixed)
  flat = Flatten(c)
  logits = Gemm(flat, wd)
}"""

RUNTIME = runtime_of(Options.of(threads=1).runtime)


def _model():
    rng = np.random.default_rng(0)
    proto = onnx.parser.parse_model(TEXT)
    shapes = {"wa": (8, 3, 3, 3), "ba": (8,), "wb": (12, 3, 3, 3), "wc": (6, 23, 3, 3), "bc": (6,)}
    for name, shape in {**shapes, "wd": (96, 5)}.items():
        array = 0.3 * rng.standard_normal(shape).astype(np.float32)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    for node in proto.graph.node:
        node.name = node.output[0]
    return proto


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "calib.npz"
    rng = np.random.default_rng(1)
    np.savez(path, x=rng.standard_normal((160, 3, 6, 6)).astype(np.float32))
    options = Options.of(budget="targets=0.5", samples=160, threads=1, narrow="only", effort="high")
    return calibrated(ir.from_proto(_model()), path, options, Progress())


def _plan(known, **widths):
    names = {each.group.name: each.name for each in known.analysis.channels.narrowings}
    return {names[group]: width for group, width in widths.items()}


def test_each_of_them_may_be_narrowed(known):
    found = known.analysis.channels
    assert {each.group.name: each.width for each in found.narrowings} == {
        "left": 8,
        "right": 12,
        "mixed": 6,
    }
    assert all((np.diff(found.losses[each.name]) <= 0).all() for each in found.narrowings)


def test_weights_are_the_regression_on_all_that_is_left(known):
    channels = known.analysis.channels
    plan = _plan(known, left=5, right=6)
    cuts = channels.observed.cuts
    factors = channels.factors(plan, cuts)["mixed"]
    reader = next(t for each in channels.narrowings for t in each.readers if t.name == "mixed")
    energy, weight = cuts._energy(reader), reader.matrices()[0]
    kept = factors.down[0].argmax(axis=0)
    assert len(kept) == (5 + 3 + 6) * 9
    gone = np.setdiff1d(np.arange(len(weight)), kept)
    more = np.linalg.solve(energy[np.ix_(kept, kept)], energy[np.ix_(kept, gone)] @ weight[gone])
    np.testing.assert_allclose(factors.up[0], weight[kept] + more, atol=1e-8)


def test_the_graph_computes_what_the_whole_one_does_with_the_new_weights(known):
    channels = known.analysis.channels
    taken = channels.taken(_plan(known, left=5, right=6, mixed=4))
    small = rewritten(known.start, [], {}, {}, {}, taken)
    standing = StandingGraph(known.normal.clone())
    standing.take(taken.factors)
    batch = known.data.typical("holdout")
    run = [RUNTIME.session(m).run(batch.feeds, batch.origin) for m in (small, standing.model)]
    np.testing.assert_allclose(run[0]["logits"], run[1]["logits"], rtol=1e-4, atol=1e-5)
    shapes = {n: tuple(v.shape.numpy()) for n, v in small.graph.initializers.items()}
    assert shapes["wa"] == (5, 3, 3, 3)
    assert shapes["wb"] == (6, 3, 3, 3)
    assert shapes["wc"] == (4, 14, 3, 3)


def test_shares_are_those_of_the_written_weights(known):
    channels = known.analysis.channels
    shares = channels.shares(_plan(known, left=5, right=6, mixed=4))
    assert shares["mixed"].reads == (14, 23)
    assert shares["mixed"].computes == (4, 6)
    assert shares["mixed"].share == pytest.approx(14 * 4 / (23 * 6))
    assert shares["left"].computes == (5, 8)
