"""What normalising and rewriting leave alone, and types that onnxruntime does not run."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
from builders import assert_close, check, found, model, normal, ops, run, svd_factors
from onnx.reference import ReferenceEvaluator

from onnx_factorize.passes import LiftWeights, RewriteTargets
from onnx_factorize.report.inspection import inspect

W = {"w": normal(1, 8, 12), "v": normal(2, 12, 8)}


def _cut(proto, only=None, rank=None):
    _, finder = found(ir.from_proto(proto))
    factors = {
        t.name: svd_factors(t, rank or t.full_rank)
        for t in finder.targets
        if only is None or t.name in only
    }
    given = ir.from_proto(proto)
    RewriteTargets(factors)(given)
    return given


def test_bfloat16():
    proto = model(
        "(bfloat16[3, 8] x) => (bfloat16[3, 12] y) { [m] y = MatMul (x, w) }",
        {"w": W["w"].astype(ml_dtypes.bfloat16)},
    )
    after = check(_cut(proto))
    types = {i.data_type for i in after.graph.initializer}
    assert types == {onnx.TensorProto.BFLOAT16}
    feeds = {"x": normal(3, 3, 8).astype(ml_dtypes.bfloat16)}
    (actual,), (wanted,) = (ReferenceEvaluator(m).run(None, feeds) for m in (after, proto))
    assert_close(actual.astype(np.float32), wanted.astype(np.float32), 0.05)


def test_custom_operators_are_kept():
    proto = model(
        """(float[3, 8] x) => (float[?, ?] y) {
            s = custom.Strange <level = 3, name = "odd"> (x) [m] h = MatMul (s, w)
            r, mask = custom.Other (h) [n] y = MatMul (r, v) }""",
        W,
    )
    after = check(_cut(proto))
    assert ops(after) == ["Strange", "MatMul", "MatMul", "Other", "MatMul", "MatMul"]
    assert after.graph.node[0] == proto.graph.node[0]
    found_layers = inspect(proto).layers
    assert [layer.name for layer in found_layers] == ["m", "n"]


def test_what_is_kept_dense_is_not_normalised():
    """Only the weights of operators that are rewritten move; the rest of the graph is as it was."""
    proto = model(
        """(float[3, 8] x) => (float[?, ?] y) {
            c = Constant <value = float[1] {2.0}> () z = Mul (x, c)
            wi = Identity (w) [m] h = MatMul (z, wi)
            vt = Transpose <perm = [1, 0]> (v) [n] g = MatMul (h, vt) l = MatMul (g, u)
            y = Relu (l) }
        """,
        {"w": W["w"], "v": W["v"].T.copy(), "u": normal(5, 8, 9)},
    )
    proto.graph.node[5].name = ""
    after = check(_cut(proto, only=["m"]))
    assert ops(after) == [
        "Constant", "Mul", "MatMul", "MatMul", "Transpose", "MatMul", "MatMul", "Relu",
    ]  # fmt: skip
    kept = {i.name for i in after.graph.initializer}
    assert kept == {"w.down", "w.up", "v", "u"}
    unnamed = [
        [(n.op_type, n.input, n.output) for n in part.graph.node if not n.name]
        for part in (after, proto)
    ]
    assert unnamed[0] == [each for each in unnamed[1] if each[0] != "Identity"]
    feeds = {"x": normal(3, 3, 8)}
    assert_close(run(after, feeds)[0], run(proto, feeds)[0])


def _with_functions():
    return onnx.parser.parse_model("""
        <ir_version: 9, opset_import: ["" : 20, "f" : 1]>
        main (float[3, 8] x) => (float[?, ?] y) <float[8, 12] w = {}, float[8, 12] u = {}> {
            a = f.block (x, w) b = f.block (x, u) c = f.plain (a) y = Add (b, c)
        }
        <opset_import: ["" : 20, "f" : 1], domain: "f">
        block (s, m) => (t) { [mm] h = MatMul (s, m) t = f.plain (h) }
        <opset_import: ["" : 20], domain: "f">
        plain (s) => (t) { t = Relu (s) }""")


def test_a_function_called_with_several_weights():
    proto = _with_functions()
    for tensor, seed in zip(proto.graph.initializer, (1, 2), strict=True):
        tensor.CopyFrom(onnx.numpy_helper.from_array(normal(seed, 8, 12), tensor.name))
    before = proto.SerializeToString()
    _, finder = found(ir.from_proto(proto))
    assert [t.weight.name for t in finder.targets] == ["w", "u"]
    assert len({t.name for t in finder.targets}) == 2
    after = check(_cut(proto))
    assert [f.name for f in after.functions] == ["plain"]
    assert proto.SerializeToString() == before
    feeds = {"x": normal(3, 3, 8)}
    assert_close(run(after, feeds)[0], run(proto, feeds)[0])


def test_functions_are_inlined_only_for_what_is_rewritten():
    proto = _with_functions()
    node = onnx.helper.make_node("MatMul", ["x", "k"], ["z"], name="own")
    proto.graph.node.append(node)
    proto.graph.output.append(onnx.helper.make_tensor_value_info("z", 1, ["a", "b"]))
    for name, seed in (("w", 1), ("u", 2), ("k", 3)):
        tensor = onnx.numpy_helper.from_array(normal(seed, 8, 12), name)
        same = [i for i in proto.graph.initializer if i.name == name]
        (same[0] if same else proto.graph.initializer.add()).CopyFrom(tensor)
    after = check(_cut(proto, only=["own"]))
    assert {f.name for f in after.functions} == {"block", "plain"}
    assert "k.down" in {i.name for i in after.graph.initializer}


def test_normalising_twice_changes_nothing():
    proto = model(
        """(float[2, 12, 3] x) => (float[?, ?, ?] y) { t = Transpose <perm = [1, 0]> (v)
            [m] y = MatMul (t, x) }""",
        {"v": normal(2, 12, 9)},
    )
    once = ir.from_proto(proto)
    assert LiftWeights()(once).modified
    first = ir.to_proto(once)
    assert not LiftWeights()(once).modified
    assert ir.to_proto(once) == first
