"""What is a target, what is not, and the reason given."""

from __future__ import annotations

import re

import numpy as np
import onnx
import pytest
from builders import assert_close, check, found, model, normal, rewritten, run

W = normal(1, 8, 12)


def _reasons(proto):
    _, finder = found(proto)
    assert finder.targets == []
    return {skip.name: skip.reason for skip in finder.skipped}


def _one(body, inputs="float[2, 8] x", outputs="float[?, ?] y", weights=None, **options):
    return model(f"({inputs}) => ({outputs}) {{ {body} }}", weights or {"w": W}, **options)


def test_both_operands_computed():
    proto = _one("[m] y = MatMul (x, v)", "float[2, 8] x, float[8, 12] v", weights={"w": W})
    assert "both operands are computed" in _reasons(proto)["m"]


def test_a_vector_on_the_right_of_a_constant():
    proto = _one("[m] y = MatMul (w, x)", "float[12] x", "float[?] y")
    assert "single vector" in _reasons(proto)["m"]


def test_a_stack_that_broadcasts_between_its_axes():
    proto = _one(
        "[m] y = MatMul (x, w)",
        "float[2, 3, 2, 8] x",
        "float[?, ?, ?, ?] y",
        {"w": normal(1, 2, 1, 8, 12)},
    )
    assert "repeated along an axis" in _reasons(proto)["m"]


@pytest.mark.parametrize(
    ("equation", "x", "reason"),
    [
        ("mm,mn->mn", (8, 8), "diagonal"),
        ("mk,kn->k", (2, 8), "alone"),
        ("mk,kn->mkn", (2, 8), "no matrix product"),
        ("...k,...n->...kn", (8, 8), "ellipsis in the constant"),
    ],
)
def test_einsums_that_are_no_product(equation, x, reason):
    out = ", ".join("?" for c in equation.partition("->")[2].replace("...", "m"))
    proto = _one(
        f'[e] y = Einsum <equation = "{equation}"> (x, w)',
        f"float[{x[0]}, {x[1]}] x",
        f"float[{out}] y",
    )
    assert reason in _reasons(proto)["e"]


def test_einsum_of_three_operands():
    proto = _one(
        '[e] y = Einsum <equation = "mk,kn,no->mo"> (x, w, v)', weights={"w": W, "v": W.T.copy()}
    )
    assert "3 operands" in _reasons(proto)["e"]


@pytest.mark.parametrize(
    ("op", "reason"),
    [
        ("z = DequantizeLinear (q, s) [m] y = MatMul (x, z)", "quantized.*before quantizing"),
        ("[m] y = MatMulInteger (xi, q)", "factorize before quantizing"),
        ("z = custom.Mul (w, two) [m] y = MatMul (x, z)", "fold constants first"),
        ("z = Neg (x) [m] y = MatMul (x, z)", "both operands are computed"),
        ("[m] y = MatMul (w, w)", "both of its operands are constant|shared"),
    ],
)
def test_weights_that_are_computed(op, reason):
    proto = _one(
        op,
        "float[2, 8] x, int8[2, 8] xi",
        weights={
            "w": W,
            "q": W.astype(np.int8),
            "s": np.array(0.1, np.float32),
            "two": np.array(2, np.float32),
        },
    )
    assert re.search(reason, _reasons(proto)["m"])


@pytest.mark.parametrize(
    ("op", "reason"),
    [
        ("[m] y = com.microsoft.MatMulNBits <K = 8, N = 12> (x, q, s)", "before quantizing"),
        ("[m] y = com.microsoft.Attention <num_heads = 2> (x3, w, b)", "as it was exported"),
    ],
)
def test_operators_that_are_listed_with_a_reason(op, reason):
    proto = _one(
        op,
        "float[2, 8] x, float[2, 3, 8] x3, int64[3] i",
        weights={
            "w": W,
            "r": normal(1, 1, 16, 8),
            "r2": normal(1, 1, 16, 4),
            "q": W.astype(np.uint8),
            "s": W,
            "b": normal(1, 12),
        },
    )
    proto.opset_import.add(domain="com.microsoft", version=1)
    assert reason in _reasons(proto)["m"]


@pytest.mark.parametrize("shape", [(8, 1), (1, 8), (2, 2)])
def test_no_rank_is_smaller(shape):
    proto = _one(
        "[m] y = MatMul (x, w)", f"float[2, {shape[0]}] x", weights={"w": normal(1, *shape)}
    )
    assert "no rank makes" in _reasons(proto)["m"]


def test_shared_weight_is_one_target():
    proto = _one(
        "[a] p = MatMul (x, w) [b] q = MatMul (z, w) y = Add (p, q)",
        "float[2, 8] x, float[2, 8] z",
    )
    (target,) = found(proto)[1].targets
    assert [use.name for use in target.uses] == ["a", "b"]
    assert target.params == W.size


def test_shared_weight_is_kept_where_one_reader_cannot_share():
    proto = _one(
        "[a] p = MatMul (x, w) t = Transpose (w) [b] q = MatMul (w, z) y = Add (p, q)",
        "float[2, 8] x, float[12, 2] z",
    )
    reasons = _reasons(proto)
    assert set(reasons) == {"a", "b"}
    assert all("shared by 3 nodes" in reason for reason in reasons.values())
    assert sum(skip.params for skip in found(proto)[1].skipped) == W.size


def test_weight_that_a_caller_may_replace():
    proto = _one("[m] y = MatMul (x, w)", "float[2, 8] x, float[8, 12] w")
    assert "also a graph input" in _reasons(proto)["m"]


def test_weight_that_is_an_output():
    proto = _one("[m] y = MatMul (x, w)", outputs="float[2, 12] y, float[8, 12] w")
    assert "also a graph output" in _reasons(proto)["m"]


def test_integer_weight():
    proto = _one(
        "[m] y = MatMul (x, w)", "int32[2, 8] x", "int32[2, 12] y", {"w": W.astype(np.int32)}
    )
    assert "int32" in _reasons(proto)["m"]


def test_depthwise():
    proto = model(
        "(float[1, 8, 9, 9] x) => (float[?, ?, ?, ?] y) { [c] y = Conv <group = 8> (x, w) }",
        {"w": normal(1, 16, 1, 3, 3)},
    )
    assert "depthwise" in _reasons(proto)["c"]


def _looped(state="float[2, 8] s", back="float[2, 8] t", body="h = MatMul (s, v)"):
    return model(
        f"""(float[2, 8] x, int64 n, bool c) => (float[?, ?] y) {{
            y = Loop (n, c, x) <body = body (int64 i, bool go, {state}) => (bool on, {back}) {{
                on = Identity (go) [m] {body} t = MatMul (h, u) }}>
        }}""",
        {"v": W, "u": normal(2, 12, 8)},
    )


@pytest.mark.parametrize("state", ["float[2, 8] s", "float[?, 8] s"])
def test_loops_whose_values_may_change_their_shapes(state):
    assert "change their shapes" in _reasons(_looped(state, "float[?, 8] t"))["m"]


def test_transposed_inputs_in_a_body():
    loop = _looped("float[8, 8] s", "float[8, 8] t", "h = Gemm <transA = 1> (s, v)")
    reasons = {skip.name: skip.reason for skip in found(loop)[1].skipped}
    assert "transposed input" in reasons["m"]


def test_a_branch_in_a_body():
    proto = model(
        """(float[2, 8] x, int64 n, bool c) => (float[?, ?] y) {
            y = Loop (n, c, x) <body = body (int64 i, bool go, float[2, 8] s)
                => (bool on, float[2, 8] t) {
                    on = Identity (go)
                    t = If (go) <then_branch = g () => (float[2, 8] p) { [m] p = MatMul (s, v) },
                                 else_branch = e () => (float[2, 8] q) { q = Neg (s) }> }>
        }""",
        {"v": normal(1, 8, 8)},
    )
    assert "branch of an If in a body" in _reasons(proto)["m"]


def test_model_local_function():
    """It cannot be inlined into a model of another opset."""
    proto = onnx.parser.parse_model("""<ir_version: 9, opset_import: ["" : 20, "f" : 1]>
        main (float[2, 8] x) => (float[?, ?] y) { y = f.block (x) }
        <opset_import: ["" : 18], domain: "f">
        block (a) => (b) { [m] b = MatMul (a, a) }""")
    assert "model-local function 'block'" in _reasons(proto)["m"]


def test_operators_that_are_not_treated_are_named():
    proto = model(
        "(float[1, 8, 9, 9] x, float[1, 18, 7, 7] o) => (float[?, ?, ?, ?] y) "
        "{ [d] y = DeformConv (x, w, o) }",
        {"w": normal(1, 8, 8, 3, 3)},
    )
    _, finder = found(proto)
    assert [(s.name, s.params, s.reason) for s in finder.skipped] == [
        ("d", 576, "deformable convolutions are not factorized (DeformConv)")
    ]


def test_a_custom_operator_of_the_same_name_is_not_touched():
    proto = _one("[m] y = custom.MatMul (x, w)")
    _, finder = found(proto)
    assert not finder.targets
    assert not finder.skipped


def test_names_are_unique_and_made_where_there_is_none():
    proto = _one(
        "[same] a = MatMul (x, w) [same] b = MatMul (x, v) c = MatMul (x, u) "
        "d = Add (a, b) y = Add (c, d)",
        weights={"w": W, "v": W + 1, "u": W + 2},
    )
    proto.graph.node[2].name = ""
    _, finder = found(proto)
    assert [t.name for t in finder.targets] == ["same", "same#2", "MatMul_c"]


def test_a_conv_bias_that_a_caller_may_replace_is_left_alone():
    """Whoever feeds the bias must get what was fed, so no correction may be mixed into it."""
    proto = model(
        "(float[1, 4, 6, 6] x, float[8] b) => (float[?, ?, ?, ?] y) { [c] y = Conv (x, w, b) }",
        {"w": normal(1, 8, 4, 3, 3), "b": normal(2, 8)},
    )
    _, finder = found(proto)
    assert not finder.targets[0].centred
    compressed, _ = rewritten(proto, shift=1.0)
    feeds = {"x": normal(3, 1, 4, 6, 6), "b": normal(4, 8)}
    assert_close(run(compressed, feeds)[0], run(proto, feeds)[0])


@pytest.mark.parametrize("form", ["constant", "identity", "both", "identity of constant"])
def test_weights_behind_constants_and_identities(form):
    constant = onnx.helper.make_node("Constant", [], ["w0"], value=onnx.numpy_helper.from_array(W))
    proto = _one("[m] y = MatMul (x, w)")
    del proto.graph.initializer[:]
    chain = {
        "constant": [("Constant", "w")],
        "identity": [("Identity", "w")],
        "both": [("Identity", "w1"), ("Identity", "w")],
        "identity of constant": [("Constant", "w1"), ("Identity", "w")],
    }[form]
    source = "w0"
    nodes = []
    for op, output in chain:
        if op == "Constant":
            constant.output[0] = output
            nodes.append(constant)
        else:
            nodes.append(onnx.helper.make_node(op, [source], [output]))
        source = output
    if chain[0][0] == "Identity":
        proto.graph.initializer.append(onnx.numpy_helper.from_array(W, "w0"))
    for node in reversed(nodes):
        proto.graph.node.insert(0, node)
    feeds = {"x": normal(3, 2, 8)}
    wanted = run(proto, feeds)[0]
    compressed, targets = rewritten(proto)
    assert [t.name for t in targets] == ["m"]
    after = check(compressed)
    assert [n.op_type for n in after.graph.node] == ["MatMul", "MatMul"]
    assert len(after.graph.initializer) == 2
    assert_close(run(compressed, feeds)[0], wanted)


def test_an_identity_that_others_read_stays():
    proto = _one(
        "v = Identity (w) [m] y = MatMul (x, v) s = Shape (v)",
        outputs="float[?, ?] y, int64[2] s",
    )
    normal_model, finder = found(proto)
    # Two readers of one constant: the shape's and the product's.
    assert "shared" in finder.skipped[0].reason
    assert "Identity" in [node.op_type for node in normal_model.graph]


_BRANCHES = """(float[2, 8] x, bool c, bool d) => (float[?, ?] y) {
    y = If (c) <
        then_branch = yes () => (float[?, ?] a) {
            [cap] a = MatMul (x, outer)
        },
        else_branch = no () => (float[?, ?] b) {
            b = If (d) <
                then_branch = deep () => (float[?, ?] e) {
                    w_in = Constant <value = WEIGHT> ()
                    w_id = Identity (w_in)
                    [inner] h = MatMul (x, w_id)
                    bias = Constant <value = BIAS> ()
                    e = Add (h, bias)
                },
                else_branch = flat () => (float[?, ?] f) { f = Neg (outer2) }
            >
        }
    >
}"""


@pytest.mark.parametrize("ir_version", [3, 9])
def test_targets_in_nested_branches(ir_version):
    text = _BRANCHES
    for name, shape in (("WEIGHT", (8, 12)), ("BIAS", (12,))):
        values = ", ".join(f"{v:.4f}" for v in normal(5, *shape).ravel())
        text = text.replace(name, f"float[{', '.join(map(str, shape))}] {{{values}}}")
    proto = model(
        text,
        {"outer": W, "outer2": normal(2, 2, 12)},
        opset=11 if ir_version == 3 else 20,
        ir_version=ir_version,
    )
    compressed, targets = rewritten(proto, shift=0.5)
    assert [(t.name, t.centred) for t in targets] == [("cap", False), ("inner", True)]
    check(compressed)
    x = normal(3, 2, 8)
    for c in (False, True):
        for d in (False, True):
            feeds = {"x": x, "c": np.array(c), "d": np.array(d)}
            wanted = run(proto, feeds)[0] + np.float32(0.5 if not c and d else 0)
            assert_close(run(compressed, feeds)[0], wanted)


@pytest.mark.parametrize("lifted", [False, True])
def test_ir_version_3_lists_its_initializers_as_inputs(lifted):
    body = "[m] h = MatMul (x, w) y = Add (h, b)"
    weights = {"w": W, "b": normal(2, 12)}
    proto = _one(body, weights=weights, opset=8, ir_version=3)
    if lifted:  # the weight is a Constant node, which becomes an initializer
        tensor = proto.graph.initializer[0]
        node = onnx.helper.make_node("Constant", [], ["w"], value=tensor)
        del proto.graph.initializer[0], proto.graph.input[1]
        proto.graph.node.insert(0, node)
    feeds = {"x": normal(3, 2, 8)}
    compressed, targets = rewritten(proto, shift=1.0)
    assert targets[0].centred
    after = check(compressed)
    assert {i.name for i in after.graph.initializer} <= {i.name for i in after.graph.input}
    assert next(i.name for i in after.graph.input) == "x"
    assert len(after.graph.input) == 1 + len(after.graph.initializer)
    assert_close(run(compressed, feeds)[0], run(proto, feeds)[0] + np.float32(1))


def test_ir_version_3_that_only_normalises_is_valid():
    proto = _one(
        "w = Constant <value = WEIGHT> () [m] y = MatMul (x, w)".replace(
            "WEIGHT", f"float[8, 12] {{{', '.join(f'{v:.3f}' for v in W.ravel())}}}"
        ),
        weights={"u": normal(1, 1)},
        opset=8,
        ir_version=3,
    )
    normalised, _ = found(proto)
    check(normalised)
