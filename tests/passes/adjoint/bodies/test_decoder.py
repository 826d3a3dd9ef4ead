"""A decoder as the builder of onnxruntime-genai writes it, beside one of standard operators."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.numpy_helper
import onnx_ir as ir
from adjoint_harness import Adjoint, normal, parse

from onnx_factorize.passes.adjoint.inference import infer

WORDS, D, N, K, H, F, LAYERS = 11, 24, 4, 2, 16, 20, 2
PRODUCTS = [f"{kind}{i}" for i in range(LAYERS) for kind in ("o", "gate", "up", "down")]
PRODUCTS += ["q0", "k0", "v0", "qkv1", "logits"]

HEAD = """axis = Constant <value_ints = [1]> () total = ReduceSum <keepdims = 0> (mask, axis)
    less = Sub (total, one) last = Cast <to = 6> (less) shape = Shape (mask)
    second = Gather <axis = 0> (shape, index) whole = Cast <to = 6> (second)
    e = Gather (words, ids) n0 = SimplifiedLayerNormalization <axis = -1, epsilon = 0.00001> (e, g)
    """


def fused() -> str:
    nodes = [HEAD]
    for i in range(LAYERS):
        parts = ["q0", "k0", "v0"] if i == 0 else ["qkv1"]
        nodes += [f"{part} = MatMul (n{i}, w_{part})" for part in parts]
        inputs = ", ".join(parts if i == 0 else ["qkv1", "", ""])
        skip = f"{'e' if i == 0 else f'r{i}'}"
        after = f"r{i + 1}"
        tail = f", , , {after}" if i + 1 < LAYERS else ""
        nodes.append(f"""a{i}, nk{i}, nv{i} = com.microsoft.GroupQueryAttention <num_heads = {N},
            kv_num_heads = {K}, do_rotary = 1, scale = 0.3>
                ({inputs}, pk, pv, last, whole, cos, sin)
            o{i} = MatMul (a{i}, w_o{i})
            m{i}, , , t{i} = com.microsoft.SkipSimplifiedLayerNormalization <epsilon = 0.00001>
                ({skip}, o{i}, g)
            gate{i} = MatMul (m{i}, w_gate{i}) up{i} = MatMul (m{i}, w_up{i})
            s{i} = Sigmoid (gate{i}) h{i} = Mul (gate{i}, s{i}) f{i} = Mul (h{i}, up{i})
            down{i} = MatMul (f{i}, w_down{i})
            n{i + 1}{tail} = com.microsoft.SkipSimplifiedLayerNormalization <epsilon = 0.00001>
                (t{i}, down{i}, g)""")
    nodes.append(f"logits = MatMul (n{LAYERS}, w_logits)")
    caches = ", ".join(f"float[B,{K},T,{H}] n{kind}{i}" for i in range(LAYERS) for kind in "kv")
    return f"""(int64[B,S] ids, int64[B,M] mask, float[B,{K},P,{H}] pk, float[B,{K},P,{H}] pv)
        => (float[B,S,{WORDS}] logits, {caches})
        <int64 one = {{1}}, int64 index = {{1}}> {{ {" ".join(nodes)} }}"""


def rms(x: str, y: str) -> str:
    return f"""{y}_2 = Mul ({x}, {x}) {y}_m = ReduceMean <axes = [-1]> ({y}_2)
        {y}_p = Add ({y}_m, tiny) {y}_r = Sqrt ({y}_p) {y}_h = Div ({x}, {y}_r)
        {y} = Mul ({y}_h, g)"""


def turned(x: str, count: int) -> str:
    """Rotate as exporters of torch do: x cos + (-b, a) sin."""
    return f"""{x}_s = Constant <value_ints = [0, 0, {count}, {H}]> () {x}_v = Reshape ({x}, {x}_s)
        {x}_t = Transpose <perm = [0, 2, 1, 3]> ({x}_v)
        {x}_a, {x}_b = Split <axis = 3> ({x}_t) {x}_n = Neg ({x}_b)
        {x}_c = Concat <axis = 3> ({x}_n, {x}_a) {x}_x = Mul ({x}_t, cos4) {x}_y = Mul ({x}_c, sin4)
        {x}_z = Add ({x}_x, {x}_y)"""


def standard() -> str:
    nodes = ["e = Gather (words, ids)", rms("e", "n0")]
    for i in range(LAYERS):
        if i == 0:
            nodes += [f"{part} = MatMul (n0, w_{part})" for part in ("q0", "k0", "v0")]
        else:
            nodes.append("qkv1 = MatMul (n1, w_qkv1) q1, k1, v1 = Split <axis = 2> (qkv1, parts)")
        before, after = ("e" if i == 0 else f"r{i}"), f"r{i + 1}"
        nodes.append(f"""{turned(f"q{i}", N)} {turned(f"k{i}", K)}
            v{i}_v = Reshape (v{i}, k{i}_s) v{i}_t = Transpose <perm = [0, 2, 1, 3]> (v{i}_v)
            k{i}_5 = Unsqueeze (k{i}_z, two) v{i}_5 = Unsqueeze (v{i}_t, two)
            k{i}_6 = Expand (k{i}_5, groups) v{i}_6 = Expand (v{i}_5, groups)
            k{i}_7 = Reshape (k{i}_6, all) v{i}_7 = Reshape (v{i}_6, all)
            kt{i} = Transpose <perm = [0, 1, 3, 2]> (k{i}_7) z{i} = MatMul (q{i}_z, kt{i})
            y{i} = Mul (z{i}, scale) x{i} = Add (y{i}, causal) p{i} = Softmax <axis = -1> (x{i})
            b{i} = MatMul (p{i}, v{i}_7) c{i} = Transpose <perm = [0, 2, 1, 3]> (b{i})
            a{i} = Reshape (c{i}, flat) o{i} = MatMul (a{i}, w_o{i}) t{i} = Add ({before}, o{i})
            {rms(f"t{i}", f"m{i}")}
            gate{i} = MatMul (m{i}, w_gate{i}) up{i} = MatMul (m{i}, w_up{i})
            s{i} = Sigmoid (gate{i}) h{i} = Mul (gate{i}, s{i}) f{i} = Mul (h{i}, up{i})
            down{i} = MatMul (f{i}, w_down{i}) {after} = Add (t{i}, down{i})
            {rms(after, f"n{i + 1}")}
            """)
    nodes.append(f"logits = MatMul (n{LAYERS}, w_logits)")
    return f"""(int64[B,S] ids) => (float[B,S,{WORDS}] logits)
        <float tiny = {{0.00001}}, float scale = {{0.3}}, int64[1] two = {{2}},
         int64[3] parts = {{{N * H}, {K * H}, {K * H}}}, int64[5] groups = {{1, 1, {N // K}, 1, 1}},
         int64[4] all = {{0, {N}, -1, {H}}}, int64[3] flat = {{0, 0, {N * H}}}>
        {{ {" ".join(nodes)} }}"""


def constants(length: int) -> dict[str, np.ndarray]:
    angles = np.outer(np.arange(9), 0.7 ** np.arange(H // 2)).astype(np.float32)
    twice = np.tile(angles[:length], 2)
    sizes = {"q0": (D, N * H), "k0": (D, K * H), "v0": (D, K * H), "qkv1": (D, (N + 2 * K) * H)}
    sizes["logits"] = (D, WORDS)
    for i in range(LAYERS):
        sizes |= {f"o{i}": (N * H, D), f"gate{i}": (D, F), f"up{i}": (D, F), f"down{i}": (F, D)}
    weights = {f"w_{n}": 0.3 * normal(*s, seed=i) for i, (n, s) in enumerate(sizes.items())}
    causal = np.triu(np.full((length, length), -1e9, np.float32), 1)
    return {**weights, "words": normal(WORDS, D, seed=90), "g": 1 + 0.1 * normal(D, seed=91),
            "cos": np.cos(angles), "sin": np.sin(angles), "cos4": np.cos(twice),
            "sin4": np.sin(twice), "causal": causal}  # fmt: skip


def decoder(text: str, length: int) -> onnx.ModelProto:
    proto = parse(text, opset=17 if "axes = [-1]" in text else 21)
    read = {name for node in proto.graph.node for name in node.input}
    for name, array in constants(length).items():
        if name in read:
            proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return proto


def test_gradients_of_a_decoder_of_fused_operators() -> None:
    length = 4
    ids = np.array([[1, 4, 2, 7], [3, 3, 9, 0]])
    mask = np.array([[1, 1, 1, 1], [1, 1, 1, 0]])
    cotangent = normal(2, length, WORDS, seed=99)
    cotangent[1, 3] = 0  # padding
    empty = np.zeros((2, K, 0, H), np.float32)
    first = Adjoint(decoder(fused(), length), PRODUCTS, through=["logits"])
    second = Adjoint(decoder(standard(), length), PRODUCTS)
    assert not first.step.unreachable, first.step.unreachable
    feeds = {"ids": ids, "mask": mask, "pk": empty, "pv": empty}
    found = first.run(feeds, {"logits": cotangent})
    expected = second.run({"ids": ids}, {"logits": cotangent})
    assert len(found) == len(expected) == len(PRODUCTS)
    for name, ours, truth in zip(PRODUCTS, found, expected, strict=True):
        error = np.linalg.norm(ours - truth) / np.linalg.norm(truth)
        assert error < 1e-5, f"{name}: {error:.1e}"
    kinds = [node.op_type for node in first.model.graph]
    assert kinds.count("GroupQueryAttention") == LAYERS  # the nodes stay


def test_shapes_of_a_decoder_of_fused_operators() -> None:
    model = ir.from_proto(decoder(fused(), 4))
    facts = infer(model)
    for node in model.graph:
        for value in node.outputs:
            assert not value.name or value in facts.dims, (node.op_type, value.name)
            assert not value.name or facts.dtype(value) is not None, (node.op_type, value.name)
    residual, logits = (
        next(v for n in model.graph for v in n.outputs if v.name == name)
        for name in ("e", "logits")
    )
    assert facts.dims[logits][:2] == facts.dims[residual][:2]
