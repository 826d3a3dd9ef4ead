"""Factors without numbers that are nothing to their product."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from builders import found, model, normal, svd_factors

from onnx_factorize.factorization.forms import form_named
from onnx_factorize.passes import DropTiny, Factors, RewriteTargets
from onnx_factorize.passes.linear.negligible import LEAST, tiny, without_negligible


def _constants(rewritten: ir.Model):
    return {name: value.const_value.numpy() for name, value in rewritten.graph.initializers.items()}


def _dead(*shape, axis=0, size=1e-38):
    """A weight whose every third channel has died."""
    weight = normal(1, *shape)
    index = [slice(None)] * len(shape)
    index[axis] = slice(None, None, 3)
    weight[tuple(index)] *= np.float32(size)
    return weight


CONV = """(float[b, 6, 9, 9] x) => (float[b, 8, 9, 9] y) {
    [t] y = Conv <pads = [1, 1, 1, 1]> (x, w)
}"""
CASES = {
    "matmul": ("(float[b, 12] x) => (float[b, 10] y) { [t] y = MatMul (x, w) }", (12, 10)),
    "gemm": ("(float[b, 12] x) => (float[b, 10] y) { [t] y = Gemm <transB = 1> (x, w) }", (10, 12)),
    "conv": (CONV, (8, 6, 3, 3)),
    "stack": ("(float[b, 2, 5, 12] x) => (float[b, 2, 5, 10] y) { [t] y = MatMul (x, w) }",
              (2, 12, 10)),
    "embedding": ("(int64[b] x) => (float[b, 10] y) { [t] y = Gather (w, x) }", (40, 10)),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("axis", [0, 1])
def test_no_factor_of_a_dead_channel_is_subnormal(case, axis):
    text, shape = CASES[case]
    proto = model(text, {"w": _dead(*shape, axis=axis)})
    _, finder = found(model(text, {"w": _dead(*shape, axis=axis)}))
    target = finder.targets[0]
    factors = {"t": svd_factors(target, 4)}
    rewritten = ir.from_proto(proto)
    RewriteTargets(factors)(rewritten)
    made = _constants(rewritten)
    assert made
    assert not any(tiny(array).any() for array in made.values() if array.dtype.kind == "f")


def test_every_form_of_a_convolution_is_clean():
    text, shape = CASES["conv"]
    weight = _dead(*shape)
    weight[:, ::2] *= np.float32(1e-36)
    rng = np.random.default_rng(0)
    _, finder = found(model(text, {"w": weight}))
    unfoldings = [*finder.targets, *finder.targets[0].unfoldings]
    for unfolding in unfoldings:
        factors = svd_factors(unfolding, 3)
        factors.down[:, ::2] *= 1e-40
        rewritten = ir.from_proto(model(text, {"w": weight}))
        RewriteTargets(
            {unfolding.name: Factors(factors.down, factors.up, operator=unfolding.operator)}
        )(rewritten)
        made = _constants(rewritten)
        assert len(made) >= 2
        assert not any(tiny(array).any() for array in made.values())
    core = rng.standard_normal((1, 2, 9, 3)) * np.array([1, 1e-35, 1])
    tucker = Factors(
        rng.standard_normal((1, 6, 2)),
        rng.standard_normal((1, 3, 8)) * 1e-31,
        core=core,
        chain=form_named("tucker").chain,
    )
    rewritten = ir.from_proto(model(text, {"w": weight}))
    RewriteTargets({"t": tucker})(rewritten)
    assert not any(tiny(array).any() for array in _constants(rewritten).values())


def test_what_is_lost_in_the_rounding_goes_and_nothing_else():
    down = np.array([[[1.0, 1e-9], [1.0, 1.0]]])
    without = np.array([[[1.0, 0.0], [1.0, 1.0]]])
    both = np.array([[[1.0, 0.5], [0.5, 0.25]]])
    kept = without_negligible(Factors(down, both), np.float32)
    np.testing.assert_array_equal(kept.down, without)
    np.testing.assert_array_equal(kept.up, both)
    # What reaches an output through one component alone is all that there is, however little.
    only = np.array([[[1.0, 0.0], [0.5, 0.25]]])
    np.testing.assert_array_equal(without_negligible(Factors(down, only), np.float32).down, down)
    # In double precision 1e-9 is much.
    np.testing.assert_array_equal(without_negligible(Factors(down, both), float).down, down)


@pytest.mark.parametrize("seed", range(3))
def test_the_product_is_that_of_the_factors_to_rounding(seed):
    rng = np.random.default_rng(seed)
    scales = 10.0 ** rng.uniform(-12, 0, (2, 40, 6))
    down = rng.standard_normal((2, 40, 6)) * scales
    up = rng.standard_normal((2, 6, 30)) * 10.0 ** rng.uniform(-2, 0, (2, 6, 30))
    kept = without_negligible(Factors(down, up), np.float32)
    assert (kept.down == 0).sum() > 10
    largest = np.abs(down[:, :, :, None] * up[:, None]).max(axis=2)
    error = np.abs(kept.down @ kept.up - down @ up)
    assert (error <= 12 * np.finfo(np.float32).eps * largest).all()
    turned = without_negligible(Factors(down, up).flipped, np.float32)
    # Operators that read a weight transposed share its factors, so they must stay the same.
    np.testing.assert_array_equal(turned.down, kept.up.transpose(0, 2, 1))
    np.testing.assert_array_equal(turned.up, kept.down.transpose(0, 2, 1))


def test_ordinary_factors_are_not_touched():
    down, up = (normal(seed, 1, 64, 64).astype(float) for seed in (1, 2))
    kept = without_negligible(Factors(down, up), np.float32)
    np.testing.assert_array_equal(kept.down, down)
    np.testing.assert_array_equal(kept.up, up)


DENSE = """(float[b, 8] x) => (float[b, 8] y, float[b, 8] z) {
    turned = Transpose (w)
    [a] h = MatMul (x, turned)
    i = Add (h, bias)
    g = Add (x, guard)
    z = Log (g)
    k = Constant <value = float[8] {1e-40, 1, 1, 1, 1, 1, 1, 1}> ()
    [b] j = Gemm (i, v, k)
    y = Mul (j, other)
    e = Log (other)
}"""


def test_only_weights_of_linear_operators_are_touched():
    """A guard of 1e-40 keeps a logarithm finite, whatever data show."""
    small = np.full(8, 1e-40, np.float32)
    weights = {
        "w": _dead(8, 8), "v": normal(2, 8, 8), "bias": small, "guard": small, "other": small,
    }  # fmt: skip
    dropped = ir.from_proto(model(DENSE, weights))
    drop = DropTiny()
    assert drop(dropped).modified
    assert drop.numbers == 24 + 8 + 1
    after = _constants(dropped)
    assert not tiny(after["w"]).any()
    assert not after["bias"].any()
    for name in ("v", "guard", "other"):
        np.testing.assert_array_equal(after[name], weights[name])
    assert not drop(dropped).modified
    assert not DropTiny("factors")(ir.from_proto(model(DENSE, weights))).modified
    assert LEAST == 1e-30
