"""Weights computed from constants are targets, and are written as they are cut."""

from __future__ import annotations

import numpy as np
import pytest
from builders import assert_close, check, found, model, normal, ops, run, svd_factors

from onnx_factorize.files.model_io import load, parameters
from onnx_factorize.passes import RewriteTargets

# Four gates of eight in the order of another framework, as exporters put them right.
GATES = """{0} = Slice (w{1}, p0, p1, axis) {0}2 = Slice (w{1}, p3, p4, axis)
    {0}3 = Slice (w{1}, p1, p3, axis) {0}4 = Concat <axis = 0> ({0}, {0}2, {0}3)
    {0}5 = Unsqueeze ({0}4, axis)"""
PLACES = {f"p{i}": np.array([8 * i]) for i in (0, 1, 3, 4)} | {"axis": np.array([0])}
LSTM_WEIGHTS = PLACES | {"wi": normal(1, 32, 20) / 4, "wh": normal(2, 32, 8) / 4}


def _lstms(*names: str) -> str:
    lines = []
    for name in names:
        lines += [GATES.format(f"{name}_a", "i"), GATES.format(f"{name}_r", "h")]
        lines.append(f"[{name}] {name}_y = LSTM <hidden_size = 8> (x{name}, {name}_a5, {name}_r5)")
    return "\n".join(lines)


def _cut(proto, rank=None, only=None):
    """The user's model with every target at a rank, and the targets."""
    _, finder = found(proto)
    factors = {}
    for target in finder.targets:
        if only is None or target.name in only:
            own = svd_factors(target, rank or target.full_rank)
            factors |= {u.name: own.flipped if u.flipped else own for u in target.uses}
    given = load(proto)
    RewriteTargets(factors)(given)
    return given, finder


def test_gates_put_in_order():
    text = f"(float[T, B, 20] xone) => (float[T, D, B, 8] one_y) {{ {_lstms('one')} }}"
    proto = model(text, LSTM_WEIGHTS)
    feeds = {"xone": normal(3, 5, 2, 20)}
    given, finder = _cut(proto)
    assert [(t.name, t.params) for t in finder.targets] == [("one", 640)]
    assert_close(run(check(given), feeds)[0], run(proto, feeds)[0], 2e-5)
    small, _ = _cut(proto, rank=4)
    # Recurrent weights are computed as they were; the input's are gone with what computed them.
    held = set(small.graph.initializers)
    assert "wi" not in held
    assert "wh" in held
    assert ops(check(small)).count("Slice") == 3
    assert parameters(small) == 5 + 256 + 4 * 52


def test_equal_expressions_share_their_factors():
    text = f"""(float[T, B, 20] xone, float[S, C, 20] xtwo)
        => (float[T, D, B, 8] one_y, float[S, D, C, 8] two_y) {{ {_lstms("one", "two")} }}"""
    proto = model(text, LSTM_WEIGHTS)
    given, finder = _cut(proto, rank=5)
    (target,) = finder.targets
    assert [use.name for use in target.uses] == ["one", "two"]
    assert parameters(given) == 5 + 256 + target.factor_params(5)
    feeds = {"xone": normal(3, 5, 2, 20), "xtwo": normal(4, 3, 1, 20)}
    near = target.matrices()[0]
    u, s, v = np.linalg.svd(near)
    gates = np.argsort(np.r_[0:8, 24:32, 8:24])  # back to the order of the framework
    wi = ((u[:, :5] * s[:5]) @ v[:5]).T[gates]
    reference = model(text, LSTM_WEIGHTS | {"wi": wi.astype(np.float32)})
    for ours, theirs in zip(run(check(given), feeds), run(reference, feeds), strict=True):
        assert_close(ours, theirs, 2e-5)


PACKED = """(float[N, 16] x) => (float[N, 16] y) {
    a, b, c = Split <axis = 1> (w, sizes) [one] d = MatMul (x, a) [two] e = MatMul (d, b)
    [three] y = MatMul (e, c) }"""
PACKED_WEIGHTS = {"w": normal(1, 16, 48) / 4, "sizes": np.array([16, 16, 16])}


def test_a_split_of_packed_weights():
    proto = model(PACKED, PACKED_WEIGHTS)
    given, finder = _cut(proto)
    assert [t.name for t in finder.targets] == ["one", "two", "three"]
    feeds = {"x": normal(2, 4, 16)}
    assert_close(run(check(given), feeds)[0], run(proto, feeds)[0], 2e-5)


@pytest.mark.parametrize("only", [("one",), ("three", "two")])
def test_the_rest_of_packed_weights_takes_no_more_room(only):
    proto = model(PACKED, PACKED_WEIGHTS)
    given, _ = _cut(proto, rank=2, only=only)
    assert parameters(given) == 3 * 256 - len(only) * (256 - 2 * 32)
    assert "Split" not in ops(check(given))


def test_what_is_left_dense_stays_computed():
    proto = model(PACKED, PACKED_WEIGHTS)
    given, _ = _cut(proto, only=())
    assert ops(check(given)) == ops(proto)
    assert set(given.graph.initializers) == {"w", "sizes"}


def test_a_source_that_others_read_stays():
    text = PACKED.replace("[three] y = MatMul (e, c)", "[three] f = MatMul (e, c) y = Gemm (f, f2)")
    text = text.replace("=> (float[N, 16] y)", "=> (float[N, 48] y)").replace("f2", "w")
    given, finder = _cut(model(text, PACKED_WEIGHTS), rank=2, only=("one",))
    assert {t.name for t in finder.targets} >= {"one", "two", "three"}
    assert parameters(given) == 768 + 3 + 64


def test_products_of_constants_and_a_computed_shape():
    text = """(float[N, 12] x) => (float[N, 10] y) {
        low = MatMul (a, b) merged = Add (w, low) shape = Concat <axis = 0> (rows, columns)
        k = Reshape (flat, shape) [one] h = MatMul (x, merged) [two] y = MatMul (h, k) }"""
    weights = {
        "a": normal(1, 12, 3),
        "b": normal(2, 3, 14),
        "w": normal(3, 12, 14),
        "flat": normal(4, 140),
        "rows": np.array([14]),
        "columns": np.array([10]),
    }
    proto = model(text, weights)
    given, finder = _cut(proto)
    assert [t.name for t in finder.targets] == ["one", "two"]
    feeds = {"x": normal(5, 4, 12)}
    assert_close(run(check(given), feeds)[0], run(proto, feeds)[0], 2e-5)
    assert ops(check(given)) == ["MatMul"] * 4


def test_what_a_caller_may_replace_or_read_is_not_folded():
    text = """(float[N, 12] x, float[12, 6] given)
        => (float[N, 12] y, float[12, 12] seen, float[N, 12] w) {
        z = Concat <axis = 1> (given, given) y = MatMul (x, z)
        seen = Concat <axis = 1> (other, other) w = MatMul (x, seen) }"""
    proto = model(text, {"other": normal(1, 12, 6), "given": normal(2, 12, 6)})
    _, finder = found(proto)
    assert not finder.targets
