"""Losses of cuts: the exact Fisher form, judged on data that did not make the directions."""

from __future__ import annotations

import itertools

import numpy as np
import onnx_ir as ir
import pytest
from builders import BUNDLED, BUNDLED_DATA, model, normal

from onnx_factorize import factorize
from onnx_factorize.factorization.kronecker_factors import KroneckerFactors
from onnx_factorize.factorization.losses import (
    Directions,
    _from_cross_moments,
    _from_places,
    kronecker_losses,
    ranks_of_interest,
    relative_losses,
    table_losses,
)
from onnx_factorize.factorization.spectrum import decompose
from onnx_factorize.passes import FindTargets, LiftWeights


@pytest.mark.parametrize("places", [2, 10])
@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize(("rows", "columns"), [(7, 4), (4, 7), (5, 5)])
def test_squared_changes_are_those_of_the_cut_weight(groups, rows, columns, places):
    """c = Σ_p x_p (W - W_r) g_p, sample by sample, for the weight that is really cut."""
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((groups, rows, columns))
    x = rng.standard_normal((groups, 6, places, rows))
    g = rng.standard_normal((groups, 6, places, columns))
    side = "output" if columns <= rows else "input"
    w = weight[:, None]
    signal, gradient = (x @ w, g) if side == "output" else (x, g @ w.swapaxes(2, 3))
    flat = signal.reshape(groups, 6 * places, -1)
    mean = flat.mean(axis=1, keepdims=True)
    covariance = np.einsum("gpi,gpj->gij", flat - mean, flat - mean) / (6 * places)
    flat_gradient = gradient.reshape(groups, 6 * places, -1)
    second = np.einsum("gpi,gpj->gij", flat_gradient, flat_gradient) / 6
    plain = np.broadcast_to(np.eye(len(second[0])), second.shape)
    spectra = {
        3: KroneckerFactors(weight, side, covariance, second).decompose(),
        5: KroneckerFactors(weight, side, covariance, plain).decompose(),
    }
    found = Directions(spectra, mean).squared_changes([(signal, gradient, 2.0)])
    assert list(found) == [3, 5]
    x_mean = x.reshape(groups, 6 * places, rows).mean(axis=1)[:, None, None, :]
    for metric, rank in itertools.product(found, range(min(rows, columns) + 1)):
        change = weight - np.matmul(*spectra[metric].truncated(rank))
        c = 2.0 * np.einsum("gnpi,gij,gnpj->n", x - x_mean, change, g)
        assert found[metric][rank] == pytest.approx(np.square(c).sum(), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("places", [1, 4, 50])
def test_both_ways_to_coefficients_agree(places):
    signal, gradient = normal(1, 3, places, 8), normal(2, 3, places, 8)
    ahead, behind = normal(3, 8, 24), normal(4, 8, 24)
    expected = np.einsum("npw,wk,npv,vk->nk", signal, ahead, gradient, behind)
    for way in (_from_places, _from_cross_moments):
        np.testing.assert_allclose(
            way(signal, gradient, ahead, behind), expected, rtol=1e-4, atol=1e-3
        )


def test_operators_that_share_a_weight_change_the_loss_together():
    """As one operator with the places of both; of a batch, if one knows no single samples."""
    seen = KroneckerFactors(normal(1, 6, 4)[None], "output", np.eye(4)[None], np.eye(4)[None])
    directions = Directions({0: seen.decompose()}, np.zeros((1, 1, 4)))
    pairs = [(normal(n, 1, 5, 3, 4), normal(n + 1, 1, 5, 3, 4), 1.0) for n in (2, 4)]
    joined = tuple(np.concatenate([pair[side] for pair in pairs], axis=2) for side in (0, 1))
    (together,) = directions.squared_changes(pairs).values()
    (expected,) = directions.squared_changes([(*joined, 1.0)]).values()
    np.testing.assert_allclose(together, expected, rtol=1e-4)
    whole = [tuple(array.reshape(1, 1, 15, 4) for array in pair[:2]) for pair in pairs]
    (mixed,) = directions.squared_changes([pairs[0], (*whole[1], 1.0)]).values()
    of_batch = tuple(np.concatenate([pair[side] for pair in whole], axis=2) for side in (0, 1))
    (expected,) = directions.squared_changes([(*of_batch, 1.0)]).values()
    np.testing.assert_allclose(mixed, expected, rtol=1e-4)


def test_simple_losses_fall_to_zero():
    weight = normal(1, 6, 4)[None].astype(np.float64)
    spectrum = KroneckerFactors(weight, "output", np.eye(4)[None], np.eye(4)[None]).decompose()
    for losses, first in (
        (relative_losses(spectrum), 1.0),
        (kronecker_losses(spectrum), 0.5 * spectrum.energy),
    ):
        assert losses.shape == (5,)
        assert losses[0] == pytest.approx(first)
        assert losses[-1] == 0
        assert (np.diff(losses) <= 0).all()


def test_prediction_holds_on_the_bundled_model():
    """To second order the losses are the divergence, as far as 205 held-out samples can tell."""
    result = factorize(BUNDLED, BUNDLED_DATA, budget="targets=0.5", threads=1)
    divergence = result.report.divergence
    assert 0.5 < divergence["second_order"] / divergence["holdout"] < 2.5
    assert 0.5 < divergence["predicted"] / divergence["holdout"] < 2.5
    assert divergence["ratio"] == divergence["holdout"] / divergence["predicted"]


def test_fisher_beats_activation_where_outputs_matter_unequally():
    """Of two layers of one shape, one is hardly used by the output: only the gradient knows."""
    rng = np.random.default_rng(0)
    weights = {
        "a": rng.standard_normal((48, 48)).astype(np.float32),
        "b": rng.standard_normal((48, 48)).astype(np.float32),
        "small": np.float32(0.01),
        "head": (0.2 * rng.standard_normal((48, 8))).astype(np.float32),
    }
    proto = model(
        "(float[n, 48] x) => (float[n, 8] logits) {"
        " [first] p = MatMul (x, a) [second] q = MatMul (x, b)"
        " r = Mul (q, small) s = Add (p, r) t = Tanh (s) [last] logits = MatMul (t, head) }",
        weights,
    )
    feeds = [{"x": rng.standard_normal((256, 48)).astype(np.float32)}]
    options = {"budget": "targets=0.55", "threads": 1, "exclude": ["last"], "samples": 256}
    found = {
        w: factorize(proto, feeds, weighting=w, **options).report for w in ("fisher", "activation")
    }
    assert found["fisher"].divergence["holdout"] < 0.5 * found["activation"].divergence["holdout"]
    after = {layer.name: layer.params[1] for layer in found["fisher"].layers}
    assert after["second"] < 0.25 * after["first"]


def test_a_target_without_gradient_is_scaled_by_measurement():
    """A Loop has no adjoint: what it reads is weighted by activation, and the report says so."""
    proto = model(
        """(float[n, 16] x) => (float[n, 16] y) {
            [before] h = MatMul (x, w)
            trip = Constant <value = int64 {2}> ()
            go = Constant <value = bool {1}> ()
            carried = Loop (trip, go, h) <body = step (int64 i, bool c, float[n, 16] s)
                => (bool again, float[n, 16] t) { again = Identity (c) t = Tanh (s) }>
            [after] y = MatMul (carried, v)
        }""",
        {"w": normal(1, 16, 16), "v": normal(2, 16, 16)},
    )
    feeds = [{"x": normal(3, 64, 16)}]
    report = factorize(proto, feeds, budget="targets=0.7", threads=1).report
    assert any("'before'" in warning and "no gradient" in warning for warning in report.warnings)
    assert {layer.name for layer in report.layers if layer.status != "skipped"} == {
        "before",
        "after",
    }
    assert all(layer.loss is not None and np.isfinite(layer.loss) for layer in report.layers)


@pytest.fixture(scope="module")
def table():
    text = "(int64[b, 9] x) => (float[b, 9, 24] y) { y = Gather (w, x) }"
    loaded = ir.from_proto(model(text, {"w": normal(5, 200, 24)}))
    LiftWeights()(loaded)
    finder = FindTargets()
    finder(loaded)
    (found,) = finder.targets
    return found, decompose(found.matrices())


@pytest.mark.parametrize("height", [0.1, 7.0])
def test_a_table_keeps_the_shape_of_its_closed_form(table, height):
    """What is flat because rows are new is no reason to cut deeper."""
    target, spectrum = table
    closed, ranks = kronecker_losses(spectrum), ranks_of_interest(target)
    judged = np.where(np.arange(len(closed)) < len(closed) - 2, height, 0.0)
    found = table_losses(target, judged, spectrum)
    seen = judged[ranks] > 0
    assert (np.diff(found) < 0).all()
    np.testing.assert_allclose(found / closed[0], closed / closed[0] * (found[0] / closed[0]))
    logs = np.log(found[ranks][seen]).mean(), np.log(judged[ranks][seen]).mean()
    assert logs[0] == pytest.approx(logs[1])


def test_a_table_of_which_nothing_is_known_stays_as_it_was_judged(table):
    target, spectrum = table
    judged = np.zeros(len(spectrum.squares) + 1)
    np.testing.assert_array_equal(table_losses(target, judged, spectrum), judged)
