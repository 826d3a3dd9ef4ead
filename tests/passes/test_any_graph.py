"""Any linear operator, wherever it stands and wherever its weight is: nothing breaks.

`python -m pytest -m long tests/passes/test_any_graph.py` tries 2,000 graphs; `GENERATOR_SEED` gives
the seed, which is printed.
"""

from __future__ import annotations

import os

import hypothesis
import numpy as np
import onnx
import onnx_ir as ir
import pytest
from builders import assert_close, check, found, run
from generated_graphs import Graph, graphs

from onnx_factorize.files.model_io import load
from onnx_factorize.passes import Factors, FindTargets, LiftWeights, RewriteTargets

SEED = int(os.environ.get("GENERATOR_SEED", "0"))
TOLERANCES = {np.float16: 4e-2, np.float32: 2e-4, np.float64: 1e-10}


def _factors(matrices, rank):
    u, s, v = np.linalg.svd(matrices.astype(np.float64), full_matrices=False)
    return Factors(u[..., :rank] * s[:, None, :rank], v[:, :rank])


def _outputs_agree(actual, wanted, tolerance):
    for a, b in zip(actual, wanted, strict=True):
        if isinstance(b, np.ndarray) and b.dtype.kind == "f":
            assert_close(a, b, tolerance)
        else:
            np.testing.assert_array_equal(a, b)


def _checked(model: ir.Model, graph: Graph) -> onnx.ModelProto:
    if graph.declared != "wrong":
        return check(model)
    proto = ir.to_proto(model)
    onnx.checker.check_model(proto)
    return proto


def _survives(graph: Graph) -> None:
    weight, feeds = graph.weight(), graph.feeds()
    dense = graph.proto(weight)
    onnx.checker.check_model(dense)
    wanted = run(load(dense), feeds)
    tolerance = 4e-2 if "cast" in graph.placement else TOLERANCES[graph.dtype]

    normal, finder = found(load(dense))
    single = any(node.op_type == "Cast" for node in normal.graph.all_nodes())  # see `Site.grouped`
    rough = max(tolerance, 2e-4) if single else tolerance
    _outputs_agree(run(normal, feeds), wanted, rough)
    names = [t.name for t in finder.targets] + [s.name for s in finder.skipped]
    assert len(set(names)) == len(names)
    if not graph.treated:
        assert not finder.targets
        assert all(skip.reason for skip in finder.skipped)
        return
    assert len(finder.targets) == 1, [skip.reason for skip in finder.skipped]
    target = finder.targets[0]
    assert target.op_type == graph.operator.node.op_type
    if graph.node_name and graph.container != "function":
        assert target.name == graph.node_name
    matrices = graph.operator.matrices(weight.astype(np.float64))
    assert matrices.shape == (target.groups, target.rows, target.columns)
    assert_close(target.matrices(), matrices, rough)

    for rank in {target.full_rank, 1}:
        factors = _factors(matrices, rank)
        approximate = graph.operator.back(factors.down @ factors.up)
        reference = run(load(graph.proto(approximate.astype(graph.dtype))), feeds)
        for given, near in ((load(dense), tolerance), (normal.clone(), rough)):
            RewriteTargets({target.name: factors})(given)
            proto = _checked(given, graph)
            assert proto.opset_import[0].version == graph.opset
            assert [p.value for p in proto.metadata_props] == ["MIT"]
            _outputs_agree(run(proto, feeds), reference, near)
        again = load(dense)
        RewriteTargets({target.name: factors})(again)
        again = ir.from_proto(_checked(again, graph))
        LiftWeights()(again)
        finder = FindTargets()
        finder(again)
        assert not finder.targets
        assert any("factorized before" in skip.reason for skip in finder.skipped)


@hypothesis.settings(max_examples=150, suppress_health_check=list(hypothesis.HealthCheck))
@hypothesis.given(graphs())
def test_graphs(graph):
    _survives(graph)


@pytest.mark.long
def test_two_thousand_graphs(capsys):
    with capsys.disabled():
        print(f"\n2000 graphs, GENERATOR_SEED={SEED}")

    @hypothesis.seed(SEED)
    @hypothesis.settings(
        max_examples=2000,
        derandomize=False,
        suppress_health_check=list(hypothesis.HealthCheck),
        phases=[hypothesis.Phase.generate],
        print_blob=True,
    )
    @hypothesis.given(graphs())
    def all_survive(graph):
        _survives(graph)

    all_survive()
