"""Rules of products, normalizations, reductions, movement and indexing, by finite differences."""

import numpy as np
import pytest
from adjoint_harness import check, normal, spaced


@pytest.mark.parametrize(
    ("kinds", "a", "b"),
    [
        (("N,3", "3,4", "N,4"), (2, 3), (3, 4)),
        (("N,M,3", "3,4", "N,M,4"), (2, 5, 3), (3, 4)),
        (("N,M,K", "K,L", "N,M,L"), (2, 5, 3), (3, 4)),
        (("N,M,K", "B,K,L", "N,M,L"), (2, 5, 3), (2, 3, 4)),
        (("N,M,K", "B,K,L", "N,M,L"), (2, 5, 3), (1, 3, 4)),
        (("N,M,K", "B,K,L", "N,M,L"), (1, 5, 3), (2, 3, 4)),
        (("M,K", "B,C,K,L", "B,C,M,L"), (5, 3), (2, 2, 3, 4)),
        (("2,1,M,3", "2,3,4", "2,2,M,4"), (2, 1, 5, 3), (2, 3, 4)),
        (("K", "K,L", "L"), (3,), (3, 4)),
        (("N,M,K", "K", "N,M"), (2, 2, 3), (3,)),
        (("K", "B,K,L", "B,L"), (3,), (2, 3, 4)),
    ],
)
@pytest.mark.parametrize("opset", [9, 12, 18])
def test_matmul(
    kinds: tuple[str, str, str], a: tuple[int, ...], b: tuple[int, ...], opset: int
) -> None:
    text = f"""(float[{kinds[0]}] x, float[{kinds[1]}] w) => (float[{kinds[2]}] y) {{
        y = MatMul (x, w) }}"""
    check(text, {"x": normal(*a, seed=1), "w": normal(*b, seed=2)}, opset=opset)


@pytest.mark.parametrize("trans_a", [0, 1])
@pytest.mark.parametrize("trans_b", [0, 1])
@pytest.mark.parametrize("scale", ["", ", alpha = 0.5, beta = 2.0"])
@pytest.mark.parametrize("c", ["4", "N,1", "N,4"])
def test_gemm(trans_a: int, trans_b: int, scale: str, c: str) -> None:
    text = f"""(float[A,B] x, float[C,D] w, float[{c}] c) => (float[N,4] y) {{
        y = Gemm <transA = {trans_a}, transB = {trans_b}{scale}> (x, w, c) }}"""
    x, w = normal(2, 3, seed=1), normal(3, 4, seed=2)
    size = {"4": (4,), "N,1": (2, 1), "N,4": (2, 4)}[c]
    check(text, {"x": x.T if trans_a else x, "w": w.T if trans_b else w, "c": normal(*size)})


@pytest.mark.parametrize(
    ("equation", "a", "b"),
    [
        ("bij,bjk->bik", (2, 3, 4), (2, 4, 3)),
        ("bhqd,bhkd->bhqk", (1, 2, 3, 2), (1, 2, 4, 2)),
        ("ij,jk", (2, 3), (3, 4)),
        ("bij,bj->b", (2, 3, 4), (2, 4)),
        ("ij,kl->il", (2, 3), (2, 2)),
    ],
)
def test_einsum(equation: str, a: tuple[int, ...], b: tuple[int, ...]) -> None:
    axes = ",".join("ABCD"[: len(a)]), ",".join("EFGH"[: len(b)])
    rank = len(equation.split("->")[1]) if "->" in equation else 2
    text = f"""(float[{axes[0]}] x, float[{axes[1]}] w) => (float[{",".join("UVWX"[:rank])}] y) {{
        y = Einsum <equation = "{equation}"> (x, w) }}"""
    check(text, {"x": normal(*a, seed=1), "w": normal(*b, seed=2)})


@pytest.mark.parametrize("opset", [11, 13, 18])
@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
def test_softmax(op: str, axis: int, opset: int) -> None:
    text = f"(float[N,3,M] x) => (float[N,3,M] y) {{ y = {op} <axis = {axis}> (x) }}"
    check(text, {"x": normal(2, 3, 4)}, opset=opset)


@pytest.mark.parametrize("mask", ["N, 1, T, T", "T", "1, 1, 1, T"])
@pytest.mark.parametrize("sizes", [(2, 3), (1, 5)])
def test_attention(mask: str, sizes: tuple[int, int]) -> None:
    """The pattern whose softmax needs no sum over its weights, K transposed as exporters do."""
    text = f"""(float[N, H, T, 4] q, float[N, T, H, 4] k0, float[N, T, H, 4] v0, float[{mask}] m)
        => (float[N, H, T, 4] o) <float s = {{0.5}}> {{
        kt = Transpose <perm = [0, 2, 3, 1]> (k0) v = Transpose <perm = [0, 2, 1, 3]> (v0)
        a = MatMul (q, kt) b = Mul (a, s) c = Add (b, m) p = Softmax <axis = -1> (c)
        o = MatMul (p, v) }}"""
    n, t = sizes
    shape = {"N, 1, T, T": (n, 1, t, t), "T": (t,), "1, 1, 1, T": (1, 1, 1, t)}[mask]
    feeds = {"q": normal(n, 2, t, 4, seed=1), "k0": normal(n, t, 2, 4, seed=2),
             "v0": normal(n, t, 2, 4, seed=3), "m": normal(*shape, seed=4)}  # fmt: skip
    check(text, feeds)


def test_attention_whose_weights_are_also_an_output() -> None:
    text = """(float[N, T, 4] q, float[N, T, 4] v) => (float[N, T, 4] o, float[N, T, T] p) {
        t = Transpose <perm = [0, 2, 1]> (q) a = MatMul (q, t) p = Softmax <axis = -1> (a)
        o = MatMul (p, v) }"""
    check(text, {"q": normal(2, 3, 4, seed=1), "v": normal(2, 3, 4, seed=2)})


NORMALIZATIONS = [
    ("y = LayerNormalization <axis = -1> (x, c6, c6)", "N,4,6", (2, 4, 6), 17),
    ("y = LayerNormalization <axis = 1, epsilon = 0.01> (x, c46)", "N,4,6", (2, 4, 6), 17),
    ("y = LayerNormalization <axis = -1> (x, c6)", "N,M,K", (2, 4, 6), 17),
    ("y = InstanceNormalization (x, c4, c4)", "N,4,M", (2, 4, 6), 9),
    ("y = BatchNormalization (x, c4, c4, c4, p4)", "N,4,M", (2, 4, 6), 9),
    ("y = BatchNormalization <epsilon = 0.1> (x, c4, c4, c4, p4)", "N,4,M", (2, 4, 6), 18),
    ("y = LpNormalization <axis = 1, p = 2> (x)", "N,M,K", (2, 4, 6), 13),
    ("y = LpNormalization <axis = -1, p = 1> (x)", "N,M,K", (2, 4, 6), 18),
    ("y = RMSNormalization <axis = -1> (x, c6)", "N,4,6", (2, 4, 6), 23),
]


@pytest.mark.parametrize(("node", "kind", "shape", "opset"), NORMALIZATIONS)
def test_normalization(node: str, kind: str, shape: tuple[int, ...], opset: int) -> None:
    text = f"""(float[{kind}] x) => (float[{kind}] y) <float[4] c4 = {{1.0, -0.5, 2.0, 0.3}},
        float[4] p4 = {{1.0, 0.5, 2.0, 0.3}}, float[6] c6 = {{1.0, -0.5, 2.0, 0.3, 0.7, 1.5}},
        float[4, 6] c46 = {{{", ".join(str(i / 7 - 1) for i in range(24))}}}> {{ {node} }}"""
    check(text, {"x": spaced(*shape)}, opset=opset, tolerance=1e-3)


@pytest.mark.parametrize("op", [
    "ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceSumSquare",
    "ReduceLogSumExp", "ReduceLogSum", "ReduceProd",
])  # fmt: skip
@pytest.mark.parametrize("axes", [[1], [0, -1], None])
@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize("opset", [7, 11, 18])
def test_reduction(op: str, axes: list[int] | None, keepdims: int, opset: int) -> None:
    rank = 3 if keepdims else 3 - len(axes or range(3))
    kind = f"float[{','.join('XYZ'[:rank])}]" if rank else "float"
    by_input = opset >= (13 if op == "ReduceSum" else 18)
    attribute = f", axes = {axes}" if axes and not by_input else ""
    inputs, constant = "x", ""
    if axes and by_input:
        inputs, constant = "x, a", f"<int64[{len(axes)}] a = {{{', '.join(map(str, axes))}}}>"
    text = f"""(float[N,3,M] x) => ({kind} y) {constant} {{
        y = {op} <keepdims = {keepdims}{attribute}> ({inputs}) }}"""
    x = spaced(2, 3, 2)
    x = np.abs(x) + np.float32(0.3) if op in ("ReduceLogSum", "ReduceProd") else x
    check(text, {"x": x}, opset=opset, tolerance=1e-3)


MOVEMENT = [
    ("y = Reshape (x, s)", "6,4", 14),
    ("y = Reshape (x, z)", "2,A", 14),
    ("y = Flatten <axis = 2> (x)", "A,B", 13),
    ("y = Transpose <perm = [2, 0, 1]> (x)", "4,2,3", 13),
    ("y = Transpose (x)", "4,3,2", 13),
    ("v = Transpose <perm = [2, 0, 1]> (x) y = Transpose <perm = [1, 0, 2]> (v)", "A,B,C", 13),
    ("u = Unsqueeze (x, i1) y = Squeeze (u, i1)", "A,B,C", 13),
    ("u = Unsqueeze <axes = [1]> (x) y = Squeeze <axes = [1]> (u)", "A,B,C", 11),
    ("u = Slice <starts = [1], ends = [2], axes = [0]> (x) y = Squeeze (u)", "A,B", 9),
    ("y = Slice <starts = [1], ends = [3], axes = [2]> (x)", "A,B,C", 7),
    ("y = Slice <starts = [-3], ends = [-1], axes = [2]> (x)", "A,B,C", 7),
    ("y = Slice (x, i1, im1, i2)", "A,B,C", 13),
    ("y = Slice (x, i1, im1, i0)", "A,B,C", 13),
    ("y = Slice (x, i0, i2, i1)", "A,B,C", 13),
    ("y = Slice (x, i0, big, i2, i2)", "A,B,C", 13),
    ("y = Slice (x, im1, nbig, i2, im1)", "A,B,C", 13),
    (
        "n = Shape (x) m = Slice (n, i1, i2, i0) k = Sub (m, i1) y = Slice (x, i0, k, i1)",
        "A,B,C",
        13,
    ),
    ("y = Pad (x, pads)", "A,B,C", 13),
    ("y = Pad <pads = [0, 1, 0, 0, 0, -1]> (x)", "A,B,C", 9),
    ('y = Pad <mode = "reflect"> (x, pads)', "A,B,C", 18),
    ('y = Pad <mode = "edge"> (x, pads)', "A,B,C", 18),
    ("a, b = Split <axis = 2> (x, split) y = Mul (a, a)", "A,B,C", 13),
    ("a, b = Split <axis = 2, split = [1, 3]> (x) y = Mul (b, b)", "A,B,C", 11),
    ("y = Concat <axis = 1> (x, x, x)", "A,B,C", 13),
    ("n = Exp (x) y = Concat <axis = -1> (x, n)", "A,B,C", 12),
    ("y = Concat <axis = 1> (x, c)", "A,B,C", 13),
    ("y = Expand (x, e)", "A,B,C,D", 13),
    ("y = Tile (x, t)", "A,B,C", 13),
    ("y = Trilu <upper = 0> (x)", "A,B,C", 14),
    ("y = CumSum (x, axis)", "A,B,C", 14),
    ("y = CumSum <exclusive = 1, reverse = 1> (x, axis)", "A,B,C", 14),
    ("y = Gather <axis = 1> (x, pick)", "A,B", 13),
    ("y = Gather <axis = -1> (x, minus)", "A,B", 13),
    ("y = Gather <axis = 1> (x, pick)", "A,B", 7),
    ("y = Gather <axis = 2> (x, im1)", "A,B,C", 7),
    ("y = Gather <axis = 1> (x, minus)", "A,B", 10),
    ("y = Gather <axis = 0> (x, dup)", "A,B,C", 18),
    ("y = Gather <axis = 2> (x, split)", "A,B,C", 13),
    ("y = Gather <axis = 1> (x, picks)", "A,B,C,D", 18),
    ("y = Gather <axis = 2> (x, i1)", "A,B,C", 11),
    ("y = Gather <axis = 0> (x, zero)", "A,B", 13),
    ("y = GatherElements <axis = 1> (x, elements)", "A,B,C", 18),
    ("y = GatherND (x, places)", "A,B", 18),
    ("k, w = TopK <axis = 1> (x, i2) y = Mul (k, k)", "A,B,C", 13),
    ("a = Exp (c) y = ScatterElements <axis = 1> (x, elements, x1)", "A,B,C", 18),
    ("y = Identity (x)", "A,B,C", 13),
    ("h = Cast <to = 1> (x) y = Dropout (h)", "A,B,C", 13),
]


@pytest.mark.parametrize("declared", ["2,3,4", "N,3,M", "N,M,K"])
@pytest.mark.parametrize(("nodes", "kind", "opset"), MOVEMENT)
def test_movement(nodes: str, kind: str, opset: int, declared: str) -> None:
    constants = {
        "s": [6, 4], "z": [0, -1], "i0": [0], "i1": [1], "i2": [2], "im1": [-1], "axis": None,
        "big": [2**62], "nbig": [-(2**62)], "pads": [0, 1, 0, 0, 1, 2], "split": [1, 3],
        "e": [5, 1, 3, 4], "t": [1, 2, 3],
    }  # fmt: skip
    listed = ", ".join(
        f"int64[{len(v)}] {k} = {{{', '.join(map(str, v))}}}" for k, v in constants.items() if v
    )
    text = f"""(float[{declared}] x) => (float[{kind}] y) <{listed}, int64 axis = {{1}},
        int64 pick = {{2}}, int64 zero = {{0}}, int64 minus = {{-2}},
        int64[2, 2] picks = {{0, 2, 2, 1}},
        int64[2] dup = {{1, 1}}, int64[2, 2, 1] elements = {{0, 2, 2, 2}},
        int64[3, 2] places = {{0, 1, 1, 2, 0, 1}},
        float[2, 2, 1] x1 = {{0.5, 1.5, -1.0, 2.0}},
        float[2, 1, 4] c = {{1.0, 2.0, 3.0, 4.0, 1.0, 2.0, 3.0, 4.0}}> {{ {nodes} }}"""
    if "ScatterElements" in nodes:
        text = text.replace("2, 2, 2}", "2, 1, 2}")
    check(text, {"x": spaced(2, 3, 4)}, opset=opset)


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_space_and_depth(mode: str) -> None:
    text = f"""(float[N,8,H,W] x) => (float[N,A,B,C] y) {{
        d = DepthToSpace <blocksize = 2, mode = "{mode}"> (x) q = Mul (d, d)
        y = SpaceToDepth <blocksize = 2> (q) }}"""
    check(text, {"x": spaced(1, 8, 2, 3)})


def test_scatter_nd() -> None:
    text = """(float[N, 3] x, float[2, 3] u) => (float[N, 3] y, float[N, 3] z)
        <int64[2, 1] i = {2, 0}> {
        y = ScatterND (x, i, u) z = ScatterND <reduction = "add"> (x, i, u) }"""
    check(text, {"x": normal(4, 3), "u": normal(2, 3, seed=3)})


def test_mean_variance_normalization() -> None:
    text = "(float[N,4,3,M] x) => (float[N,4,3,M] y) { y = MeanVarianceNormalization (x) }"
    check(text, {"x": spaced(2, 4, 3, 2)}, opset=13, single=True, h=1e-2, tolerance=5e-3)


def test_local_response_normalization() -> None:
    text = """(float[N,5,3,M] x) => (float[N,5,3,M] y) {
        y = LRN <size = 3, alpha = 0.5, beta = 0.6, bias = 1.1> (x) }"""
    check(text, {"x": spaced(2, 5, 3, 2)}, opset=13, single=True, h=1e-2, tolerance=5e-3)


@pytest.mark.parametrize("opset", [18, 21])
def test_group_normalization(opset: int) -> None:
    scales = 4 if opset == 21 else 2
    text = f"""(float[N,4,M] x) => (float[N,4,M] y)
        <float[{scales}] c = {{{", ".join(["1.0", "-0.5", "2.0", "0.3"][:scales])}}}> {{
        y = GroupNormalization <num_groups = 2> (x, c, c) }}"""
    check(text, {"x": spaced(2, 4, 6)}, opset=opset, single=True, h=1e-2, tolerance=5e-3)
