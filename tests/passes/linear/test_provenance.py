"""What was rewritten says so, and is recognised again."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from builders import check, model, normal, rewritten

from onnx_factorize import InputError, factorize
from onnx_factorize.passes import history, sign
from onnx_factorize.report.inspection import inspect

BODY = """(float[b, 16] x) => (float[b, 24] y) {
    [first] h = MatMul (x, w1) [act] r = Relu (h) [second] y = Gemm (r, w2) }"""
WEIGHTS = {"w1": normal(1, 16, 20), "w2": normal(2, 20, 24)}


def test_inspect_reads_it_back():
    small = check(rewritten(model(BODY, WEIGHTS), rank=4)[0])
    found = inspect(small)
    assert found.target_params == 0
    assert [
        (layer.name, layer.op_type, layer.form, layer.rank, layer.full_rank, layer.status)
        for layer in found.layers
    ] == [
        ("first", "MatMul", "two MatMuls", 4, 16, "skipped"),
        ("second", "Gemm", "two Gemms", 4, 20, "skipped"),
    ]
    assert [layer.params[0] for layer in found.layers] == [4 * 36, 4 * 44]
    assert "rank 4 of 16" in str(found.layers[0].reason)


def test_what_is_not_factorized_yet_can_be():
    """On its own output the tool goes on with what stayed dense, and leaves the rest."""
    feeds = [{"x": normal(3, 64, 16)}]
    options = {"threads": 1, "weighting": "activation", "budget": "targets=0.6"}
    once = factorize(model(BODY, WEIGHTS), feeds, include="first", **options)
    twice = factorize(ir.to_proto(once.model), feeds, **options)
    states = {layer.name: layer.status for layer in twice.report.layers}
    assert states == {"first": "skipped", "second": "factorized"}
    with pytest.raises(InputError, match="nothing to factorize"):
        factorize(ir.to_proto(twice.model), feeds, **options)


def test_marks_survive_a_file_and_damaged_ones_are_no_error():
    small = rewritten(model(BODY, WEIGHTS), rank=4)[0]
    sign(small, {"version": "1.2", "options": "budget=params=0.5"})
    proto = check(small)
    assert history(ir.from_proto(proto)) == {"version": "1.2", "options": "budget=params=0.5"}
    for node in proto.graph.node:
        for entry in node.metadata_props:
            if entry.key.endswith("rank"):
                entry.value = "many"
    found = inspect(proto)
    assert all("was factorized before" in str(layer.reason) for layer in found.layers)
    assert np.all([layer.rank is None for layer in found.layers])


def _stripped(proto: onnx.ModelProto) -> onnx.ModelProto:
    """A model as an optimizer of graphs writes it: no metadata on nodes, some names gone."""
    for node in proto.graph.node:
        del node.metadata_props[:]
    proto.graph.node[0].name = ""
    return proto


def test_cuts_are_known_from_the_metadata_of_the_model():
    small = rewritten(model(BODY, WEIGHTS), rank=4)[0]
    before = inspect(check(small))
    sign(small, {"version": "1.2"})
    proto = _stripped(check(small))
    after = inspect(proto)
    assert after.layers == before.layers
    assert after.history == {"version": "1.2"}
    # A weight of another size is another weight, and then none of the chain is taken for it.
    proto.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(normal(1, 16, 9), "w1.down"))
    proto.graph.initializer[1].CopyFrom(onnx.numpy_helper.from_array(normal(1, 9, 20), "w1.up"))
    assert {layer.status for layer in inspect(proto).layers} == {"kept", "skipped"}


@pytest.mark.parametrize("text", ["", "{}", "[1]", '[{"origin": 1}]', '[{"origin": "a"}]', "[["])
def test_a_damaged_list_marks_nothing(text):
    proto = _stripped(check(rewritten(model(BODY, WEIGHTS), rank=4)[0]))
    proto.metadata_props.add(key="pkg.onnx_factorize.cuts", value=text)
    assert inspect(proto).target_params > 0
