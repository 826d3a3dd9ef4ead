"""Narrowed graphs compute what dense ones do without the channels that are gone."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from builders import found, model, normal, session, svd_factors
from narrowed_channels import channels, error, mask, narrow

from onnx_factorize.errors import InputError
from onnx_factorize.passes import RestoreMarks, RewriteTargets, history, sign
from onnx_factorize.passes.linear.target import target_of
from onnx_factorize.passes.narrowing import NarrowChannels, narrowed

NET = """(float[n, 3, 8, 8] x) => (float[n, 5] y) {
    [a] h = Conv <pads = [1, 1, 1, 1]> (x, w, b)
    n = BatchNormalization (h, s, b, m, v)
    r = Relu (n)
    [d] e = Conv <group = 6, pads = [1, 1, 1, 1]> (r, dw)
    [p] f = Conv (e, pw)
    g = Add (f, h)
    q = MaxPool <kernel_shape = [4, 4], strides = [4, 4]> (g)
    t = Reshape (q, shape)
    [c] y = Gemm <transB = 1> (t, u)
}"""
WEIGHTS = {
    "w": normal(0, 6, 3, 3, 3),
    "b": normal(1, 6),
    "s": normal(2, 6),
    "m": normal(3, 6),
    "v": normal(4, 6) ** 2 + 1,
    "dw": normal(5, 6, 1, 3, 3),
    "pw": normal(6, 6, 6, 1, 1),
    "u": normal(7, 5, 24),
    "shape": np.array([-1, 24]),
}
FEEDS = {"x": normal(9, 2, 3, 8, 8)}


@pytest.mark.parametrize("kept", [[0], [1, 4], [0, 2, 3, 5], [0, 1, 2, 3, 4, 5]])
def test_the_narrowed_graph_is_the_masked_one(kept):
    found, made = error(model(NET, WEIGHTS), {"a": kept}, FEEDS)
    assert found < 1e-5
    sizes = {name: value.const_value.shape for name, value in made.graph.initializers.items()}
    assert sizes["w"] == (len(kept), 3, 3, 3)
    assert sizes["pw"] == (len(kept), len(kept), 1, 1)
    assert sizes["u"] == (5, 4 * len(kept))


@pytest.mark.parametrize(("opset", "ir_version"), [(11, 3), (13, 7), (21, 10)])
def test_versions_of_the_format(opset, ir_version):
    """Before the fourth, initializers are inputs, too."""
    proto = model(NET, WEIGHTS, opset=opset, ir_version=ir_version)
    found, made = error(proto, {"a": [1, 2]}, FEEDS)
    assert found < 1e-5
    assert ir.to_proto(made).ir_version == ir_version


def test_all_channels_are_the_same_model_to_the_bit():
    proto = model(NET, WEIGHTS)
    made = narrow(proto, {"a": np.arange(6)})
    assert np.array_equal(session(made).run(None, FEEDS)[0], session(proto).run(None, FEEDS)[0])
    assert not any(node.metadata_props for node in made.graph)


def test_a_constant_that_others_read_stays_whole():
    proto = model(
        "(float[n, 3] x, float[6] z) => (float[n, 2] y, float[6] k) "
        "{ [a] h = Gemm (x, w, b) [c] y = Gemm (h, v) k = Add (z, b) }",
        {"w": normal(0, 3, 6), "b": normal(1, 6), "v": normal(2, 6, 2)},
    )
    found, made = error(proto, {"a": [1, 2]}, {"x": normal(3, 4, 3), "z": normal(4, 6)})
    assert found < 1e-5
    assert set(made.graph.initializers) == {"w", "b", "v", "b.narrow"}


def test_marks_say_which_outputs_are_left_of_the_first():
    once = narrow(model(NET, WEIGHTS), {"a": np.array([0, 2, 3, 5])})
    twice = narrow(once, {"a": np.array([1, 2])})
    for made, kept in ((once, [0, 2, 3, 5]), (twice, [2, 3])):
        mark = narrowed(next(node for node in made.graph if node.name == "a"))
        assert (mark.width, mark.kept.tolist()) == (6, kept)


COMPUTED = {
    # Numbers that are no lengths stay what they were.
    "norm": "s = Shape (h) c = Gather (s, one) f = Cast <to = 1> (c) r = Div (h, f)",
    # As an exporter writes torch.chunk.
    "chunk": "s = Shape (h) c = Gather (s, one) o = Add (c, one) d = Div (o, two) "
    "m = Mul (d, two) p = Slice (h, none, d, one) q = Slice (h, d, m, one) t = Neg (q) "
    "r = Concat <axis = 1> (t, p)",
    # One list of lengths, for values that are narrowed apart.
    "shared": "s = Shape (h) n = Gather (s, none) l = Concat <axis = 0> (n, six, open) "
    "e = Reshape (h, l) [b] i = Conv (h, u) f = Reshape (i, l) a = Relu (e) g = Sigmoid (f) "
    "eight = Shape (h) t = Concat <axis = 0> (n, six, last) b4 = Reshape (g, t) "
    "[d] j = Conv (b4, u2) a4 = Reshape (a, t) r = Add (a4, j)",
    # The shape is read before the value is whose length stands in it.
    "scalar": "g0 = Relu (h) s = Shape (g0) n = Gather (s, none) c0 = Gather (s, where1) "
    "c = Unsqueeze (c0, none) l = Concat <axis = 0> (n, c, open) r0 = Reshape (h, l) "
    "r = Reshape (r0, s)",
    # A list that two read: one of its numbers is a length for one of them alone, and another says
    # how many channels are elsewhere.
    "apart": "[k] k2 = Conv (x, u8) s = Shape (h) sk = Shape (k2) n = Gather (s, none) "
    "c = Gather (s, one) e8 = Gather (sk, one) l = Concat <axis = 0> (n, c, e8, open) "
    "r0 = Reshape (h, l) q = Concat <axis = 1> (x, x) g0 = Reshape (q, l) "
    "g1 = ReduceMax <keepdims = 1> (g0, one) [m] k3 = Conv (k2, v8) r1 = Add (r0, g1) "
    "r = Add (r1, k3)",
    "expand": "m = ReduceMean <keepdims = 1> (h, where) s = Shape (h) r = Expand (m, s)",
    "constant": "s = Shape (h) k = ConstantOfShape (s) r = Add (h, k)",
    "gather": "p = Gather <axis = 1> (h, turned) r = Mul (p, h)",
}


@pytest.mark.parametrize("name", COMPUTED)
@pytest.mark.parametrize("batch", [1, 3])
def test_lengths_that_the_graph_computes(name, batch):
    proto = model(
        "(float[n, 3, 8, 8] x) => (float[n, 4, 8, 8] y) "
        f"{{ [a] h = Conv (x, w) {COMPUTED[name]} [c] y = Conv (r, z) }}",
        {
            "w": normal(0, 6, 3, 1, 1),
            "z": normal(1, 4, 6, 1, 1),
            "u": normal(2, 6, 6, 1, 1),
            "u2": normal(3, 6, 6, 1, 1),
            "none": np.array([0]),
            "one": np.array([1]),
            "two": np.array([2]),
            "six": np.array([6]),
            "open": np.array([-1]),
            "last": np.array([8, 8]),
            "where": np.array([2, 3]),
            "turned": np.array([5, 4, 3, 2, 1, 0]),
            "where1": np.array(1),
            "u8": normal(4, 8, 3, 1, 1),
            "v8": normal(5, 1, 8, 1, 1),
        },
    )
    groups = channels(proto)[1].groups
    rng = np.random.default_rng(0)
    kept = {g.name: np.sort(rng.permutation(g.width)[: g.width // 2]) for g in groups}
    assert "a" in kept
    found, made = error(proto, kept, {"x": normal(9, batch, 3, 8, 8)})
    assert found < 1e-5
    assert len(made.graph.initializers["w"].const_value.numpy()) < 6


HIDDEN = {
    "weights that a Split computes": "w1, w2 = Split (packed, sizes) [a] h = MatMul (x, w1) "
    "r = Relu (h) [c] y = MatMul (r, v)",
    "an Einsum": '[a] h = Einsum <equation = "ij,jk->ik"> (x, w) r = Relu (h) '
    "[c] y = MatMul (r, v)",
    "a stack of one": "[a] h = MatMul (x, w3) r = Relu (h) q = Squeeze (r, zero) "
    "[c] y = MatMul (q, v)",
    "constants on the left": "t = Transpose (x) [a] h = MatMul (wt, t) r = Relu (h) "
    "[c] u = MatMul (vt, r) y = Transpose (u)",
}


@pytest.mark.parametrize("name", HIDDEN)
def test_the_users_own_graph_is_made_readable(name):
    weights = {"w": normal(0, 3, 6), "v": normal(1, 6, 4)}
    proto = model(
        f"(float[n, 3] x) => (float[n, 4] y) {{ {HIDDEN[name]} }}",
        {
            **weights,
            "wt": weights["w"].T.copy(),
            "vt": weights["v"].T.copy(),
            "w3": weights["w"][None],
            "packed": np.concatenate([weights["w"], normal(2, 2, 6)]),
            "sizes": np.array([3, 2]),
            "zero": np.array([0]),
        },
    )
    kept = {"a": np.array([0, 2, 5])}
    dense, finder = channels(proto)
    mask(finder.groups[0], kept["a"])
    feeds = {"x": normal(9, 5, 3)}
    expected, got = (session(each).run(None, feeds)[0] for each in (dense, narrow(proto, kept)))
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_marks_that_an_optimizer_drops_are_restored_from_the_models_own_list():
    made = narrow(model(NET, WEIGHTS), {"a": np.array([0, 3])})
    sign(made, {})
    marks = [dict(node.metadata_props) for node in made.graph]
    for node in made.graph:
        node.metadata_props.clear()
        node.name = f"renamed {node.name}"
    RestoreMarks()(made)
    assert [dict(node.metadata_props) for node in made.graph] == marks
    assert sum(map(bool, marks)) == 2
    assert not history(made)


@pytest.mark.parametrize("kept", [[], [6], [2, 1]])
def test_channels_that_are_not_there_are_refused(kept):
    with pytest.raises(InputError, match="Keep some of the 6 channels"):
        narrow(model(NET, WEIGHTS), {"a": np.array(kept, np.int64)})


def test_a_name_that_is_no_group_is_refused():
    with pytest.raises(InputError, match="no channels 'nothing'"):
        narrow(model(NET, WEIGHTS), {"nothing": np.array([0])})


def test_rows_and_columns_are_those_of_the_layers_matrices():
    dense, finder = channels(model(NET, WEIGHTS))
    group, kept = finder.groups[0], np.array([1, 3, 4])
    targets = found(narrow(dense, {"a": kept}))[1].targets
    made = {target.name: target.matrices()[0] for target in targets}
    before = {layer.name: target_of(layer).matrices()[0] for layer in group.producers}
    before |= {reader.layer.name: target_of(reader.layer).matrices()[0] for reader in group.readers}
    for layer, columns in zip(group.producers, group.columns, strict=True):
        before[layer.name] = before[layer.name][:, columns[kept].reshape(-1)]
    for reader in group.readers:
        before[reader.layer.name] = before[reader.layer.name][reader.rows[kept].reshape(-1)]
    assert list(before) == ["a", "p", "c"]
    for name, matrix in before.items():
        np.testing.assert_array_equal(made[name], matrix)


def test_factors_beside_the_channels_shrink_like_weights():
    proto = model(NET, WEIGHTS)
    dense, finder = channels(proto)
    kept = {"a": np.array([0, 2, 5])}
    mask(finder.groups[0], kept["a"])
    made = dense.clone()
    targets = found(made)[1].targets
    RewriteTargets({t.name: svd_factors(t, t.full_rank) for t in targets})(made)
    NarrowChannels(kept)(made)
    expected, got = (session(each).run(None, FEEDS)[0] for each in (dense, made))
    np.testing.assert_allclose(got, expected, atol=1e-5 * np.abs(expected).max())
    shapes = {name: tuple(value.shape) for name, value in made.graph.initializers.items()}
    assert (shapes["w.up"], shapes["pw.up"]) == ((3, 6, 1, 1), (3, 6, 1, 1))
    assert (shapes["pw.down"], shapes["u.down"]) == ((6, 3, 1, 1), (5, 12))


def test_declared_shapes_follow():
    made = ir.from_proto(model(NET, WEIGHTS))
    value = next(node for node in made.graph if node.name == "a").outputs[0]
    value.shape = ir.Shape(["n", 6, 8, 8])
    made = narrow(made, {"a": np.array([0, 3])})
    value = next(node for node in made.graph if node.name == "a").outputs[0]
    assert value.shape == ir.Shape(["n", 2, 8, 8])
