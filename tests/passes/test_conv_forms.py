"""The forms of a convolution: exact at full rank, right below, and their gradients their own."""

from __future__ import annotations

import dataclasses

import hypothesis
import numpy as np
import onnx
import onnx_ir as ir
import pytest
from builders import assert_close, check, found, model, normal, ops, run, svd_factors
from generated_convolutions import convolutions
from hypothesis import strategies as st

from onnx_factorize.factorization.rewriting import rewritten
from onnx_factorize.factorization.spectrum import decompose
from onnx_factorize.files.model_io import load
from onnx_factorize.passes import RewriteTargets, SeparateUnfoldings
from onnx_factorize.passes.adjoint import AppendAdjoint


def _folded(matrices, target, unfolding):
    """The matrices of an unfolding as a kernel, written out index by index."""
    groups, outer = target.groups, target.columns
    kernel = target.convolution.kernel
    inner = target.rows // int(np.prod(kernel))
    result = np.zeros((groups, outer, inner, *kernel))
    for place in np.ndindex(*kernel):
        for c in range(inner):
            for o in range(outer):
                row, column = c, o * int(np.prod(kernel)) + int(np.ravel_multi_index(place, kernel))
                if unfolding == "spatial":
                    row, column = c * kernel[0] + place[0], o * kernel[1] + place[1]
                result[(slice(None), o, c, *place)] = matrices[:, row, column]
    return result.reshape(groups * outer, inner, *kernel)


@hypothesis.settings(max_examples=150)
@hypothesis.given(convolutions(), st.booleans())
def test_unfoldings_are_exact_at_full_rank_and_right_below(convolution, low):
    text, weights, x = convolution
    proto = model(text, weights)
    _, finder = found(proto)
    (target,) = finder.targets
    for unfolding in target.unfoldings:
        assert unfolding.operator == "c"
        assert unfolding.name not in finder.names.values()
        np.testing.assert_allclose(
            _folded(unfolding.matrices(), target, unfolding.unfolding.name), weights["w"], rtol=1e-6
        )
        factors = svd_factors(unfolding, 1 if low else unfolding.full_rank)
        near = _folded(factors.down @ factors.up, target, unfolding.unfolding.name).astype(
            np.float32
        )
        for given in (load(proto), found(proto)[0]):
            RewriteTargets({unfolding.name: dataclasses.replace(factors, operator="c")})(given)
            compressed = check(given)
            assert ops(compressed) == ["Conv", "Conv"]
            assert compressed.graph.node[1].name == "c"
            reference = run(model(text, {**weights, "w": near}), {"x": x})[0]
            assert_close(run(compressed, {"x": x})[0], reference, 2e-5)


@hypothesis.settings(max_examples=60)
@hypothesis.given(convolutions(), st.integers(1, 3), st.integers(1, 3))
def test_tucker_is_the_two_projections(convolution, rank_in, rank):
    text, weights, x = convolution
    proto = model(text, weights)
    _, finder = found(proto)
    (target,) = finder.targets
    inner = next((each for each in target.unfoldings if each.unfolding.name == "input"), None)
    hypothesis.assume(inner is not None)
    spectra = {unfolding.name: decompose(unfolding.matrices()) for unfolding in (target, inner)}
    for low in (False, True):
        ranks = {
            inner.name: min(rank_in, inner.full_rank) if low else inner.full_rank,
            target.name: min(rank, target.full_rank) if low else target.full_rank,
        }
        compressed = check(rewritten(load(proto), [target, inner], ranks, spectra, {}))
        assert ops(compressed) == ["Conv", "Conv", "Conv"]
        cut = np.matmul(*spectra[target.name].truncated(ranks[target.name]))
        kernel = _folded_own(cut, target)
        down = spectra[inner.name].dual[:, : ranks[inner.name]].transpose(0, 2, 1)
        keep = down @ spectra[inner.name].basis[:, :, : ranks[inner.name]].transpose(0, 2, 1)
        shape = kernel.shape
        grouped = kernel.reshape(target.groups, -1, inner.rows, *shape[2:])
        near = np.einsum("gcd,god...->goc...", keep, grouped).reshape(shape).astype(np.float32)
        reference = run(model(text, {**weights, "w": near}), {"x": x})[0]
        assert_close(run(compressed, {"x": x})[0], reference, 2e-5)
        if not low:
            assert_close(run(compressed, {"x": x})[0], run(proto, {"x": x})[0], 2e-5)


def _folded_own(matrices, target):
    kernel = target.convolution.kernel
    return matrices.transpose(0, 2, 1).reshape(target.groups * target.columns, -1, *kernel)


@hypothesis.settings(max_examples=60)
@hypothesis.given(convolutions())
def test_the_gradient_of_an_unfolding_is_that_through_this_convolution_alone(convolution):
    """L = Σ u ⊙ y is linear in W, so Σ_p x_p d_pᵀ must give it for any change E W, exactly.

    A second operator reads x, whose gradient must not be counted.
    """
    text, weights, x = convolution
    dense = run(model(text, weights), {"x": x})[0]
    both = text.replace("float[?", "float[b").replace("y = Conv", "v = Conv")
    both = both.rstrip("} ") + " z = Sigmoid(x) s = ReduceSum <keepdims = 0> (z) y = Add(v, s) }"
    normal_model, finder = found(model(both, weights))
    (target,) = finder.targets
    rng = np.random.default_rng(0)
    u = rng.standard_normal(dense.shape).astype(np.float32)
    wanted = {unfolding.name: unfolding for unfolding in target.unfoldings}
    separate = SeparateUnfoldings(set(wanted))
    separate(normal_model)
    assert set(separate.points) == set(wanted)
    y = normal_model.graph.outputs[0]
    seed = ir.Value(name="seed", type=y.type, shape=y.shape)
    normal_model.graph.inputs.append(seed)
    adjoint = AppendAdjoint({y: seed}, list(separate.points.values()))
    adjoint(normal_model)
    hypothesis.assume(not adjoint.unreachable)  # automatic padding of open sizes
    for value in separate.points.values():
        for each in (value, adjoint.gradients[value]):
            if not each.is_graph_output():
                each.type = ir.TensorType(ir.DataType.FLOAT)
                normal_model.graph.outputs.append(each)
    names = [value.name for value in normal_model.graph.outputs]
    values = dict(zip(names, run(normal_model, {"x": x, "seed": u}), strict=True))
    for name, unfolding in wanted.items():
        point = separate.points[name]
        rows, back = (
            values[each.name]
            .reshape(len(x), unfolding.groups, unfolding.rows, -1)
            .transpose(1, 0, 3, 2)
            .reshape(unfolding.groups, -1, unfolding.rows)
            .astype(np.float64)
            for each in (point, adjoint.gradients[point])
        )
        products = rows.transpose(0, 2, 1) @ back
        change = rng.standard_normal(products.shape)
        kernel = _folded(change @ unfolding.matrices(), target, unfolding.unfolding.name).astype(
            np.float32
        )
        without_bias = {"w": kernel, "b": np.zeros(len(kernel), np.float32)}
        actual = float((products * change).sum())
        moved = run(model(text, {k: without_bias[k] for k in weights}), {"x": x})[0]
        wanted_change = float((moved.astype(np.float64) * u).sum())
        scale = float(np.abs(moved).sum())
        assert actual == pytest.approx(wanted_change, abs=1e-5 * scale)


def test_separating_unfoldings_changes_no_output():
    text = """(float[b, 4, 9, 8] x) => (float[b, ?, ?, ?] y) {
        [a] h = Conv <pads = [1, 1, 1, 1]> (x, v)
        [b] g = Conv <strides = [2, 1], dilations = [1, 2], pads = [2, 0, 1, 1], group = 2> (h, w)
        y = Add(g, g)
    }"""
    proto = model(text, {"v": normal(1, 6, 4, 3, 3), "w": normal(2, 8, 3, 3, 2)})
    normal_model, finder = found(proto)
    unfoldings = {unfolding.name for target in finder.targets for unfolding in target.unfoldings}
    assert len(unfoldings) == 4
    SeparateUnfoldings(unfoldings)(normal_model)
    x = {"x": normal(3, 2, 4, 9, 8)}
    assert_close(run(normal_model, x)[0], run(proto, x)[0], 1e-5)


def test_a_node_that_is_called_like_an_unfolding():
    text = """(float[b, 4, 9, 9] x) => (float[b, 4, 5, 5] y) {
        [c] h = Conv (x, v)
        ["c (input)"] y = Conv (h, w)
    }"""
    text = text.replace('["c (input)"]', "[d]")
    proto = model(text, {"v": normal(1, 6, 4, 3, 3), "w": normal(2, 4, 6, 3, 3)})
    proto.graph.node[1].name = "c (input)"
    _, finder = found(proto)
    names = [
        unfolding.name for target in finder.targets for unfolding in (target, *target.unfoldings)
    ]
    assert len(set(names)) == len(names) == 6


def test_pointwise_depthwise_and_shared_have_no_further_unfoldings():
    text = """(float[b, 4, 9, 9] x) => (float[b, 4, 5, 5] y) {
        [one] a = Conv (x, p)
        [shared1] b2 = Conv (a, w)
        [shared2] y = Conv (b2, w)
    }"""
    proto = model(text, {"p": normal(1, 4, 4, 1, 1), "w": normal(2, 4, 4, 3, 3)})
    _, finder = found(proto)
    assert [target.unfoldings for target in finder.targets] == [(), ()]
    onnx.checker.check_model(proto)
