"""Names are made in time that grows as the graph does."""

from __future__ import annotations

import onnx
import onnx_ir as ir
from builders import model, normal

from onnx_factorize.files import model_io
from onnx_factorize.passes import FindTargets, LiftWeights
from onnx_factorize.passes.linear import sharing as _sharing

NODES = 300


def _chain():
    nodes = " ".join(f"t{i + 1} = MatMul (t{i}, w)" for i in range(NODES))
    text = f"(float[b, 8] t0) => (float[b, 8] t{NODES}) {{ {nodes} }}"
    proto = model(text, {"w": normal(1, 8, 8)})
    for node in proto.graph.node:
        node.name = "same"
    proto.graph.node[5].name = "same#3"
    return proto


def test_many_nodes_of_one_name():
    names = [node.name for node in model_io.load(_chain()).graph]
    assert len(set(names)) == NODES
    assert names[:7] == ["same", "same#2", "same#4", "same#5", "same#6", "same#3", "same#7"]


def test_readers_of_a_weight_are_looked_at_once(monkeypatch):
    """The work is counted, not timed: each reader is looked at once a pass."""
    seen, readers = [], _sharing._readers

    def counted(value, turned=False):
        for found in readers(value, turned):
            seen.append(found)
            yield found

    monkeypatch.setattr(_sharing, "_readers", counted)
    loaded = model_io.load(_chain())
    LiftWeights()(loaded)
    finder = FindTargets()
    finder(loaded)
    assert len(seen) <= 2 * NODES
    assert [len(target.uses) for target in finder.targets] == [NODES]
    assert isinstance(ir.to_proto(loaded), onnx.ModelProto)
