"""Channels of a trained network: weights that make up for them, and the graph without them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from builders import BUNDLED, BUNDLED_DATA

from onnx_factorize.evaluation import Divergences, Recorded
from onnx_factorize.factorization.rewriting import rewritten
from onnx_factorize.factorization.standing_graph import StandingGraph
from onnx_factorize.options import Options
from onnx_factorize.pipeline import calibrated
from onnx_factorize.progress import Progress
from onnx_factorize.runtime.runtimes import runtime_of


@pytest.fixture(scope="module")
def known():
    options = Options.of(budget="targets=0.5", samples=160, threads=1, narrow="only", effort="high")
    return calibrated(BUNDLED, BUNDLED_DATA, options, Progress())


RUNTIME = runtime_of(Options.of(threads=1).runtime)


def _outputs(known, model):
    batch = known.data.typical("holdout")
    return RUNTIME.session(model).run(batch.feeds, batch.origin)


def test_every_chain_of_the_network_is_found(known):
    found = known.analysis.channels
    assert [each.width for each in found.narrowings] == [32, 64, 128, 256]
    assert all(each.name in found.losses for each in found.narrowings)
    assert [each.reason for each in found.refused] == ["they are an output, 'logits'"]


def test_weights_of_channels_that_stay_are_the_regression_on_them(known):
    channels = known.analysis.channels
    for narrowing in channels.narrowings:
        width = narrowing.width // 2
        ((name, factors),) = channels.observed.cuts.factors({narrowing: width}).items()
        target, reader = narrowing.readers[0], narrowing.group.readers[0]
        assert name == target.name
        kept = reader.rows[channels.observed.cuts.elimination(narrowing).kept(width)].reshape(-1)
        gone = np.setdiff1d(np.arange(target.rows), kept)
        product, weight = factors.product()[0], target.matrices()[0]
        assert not product[gone].any()
        # The mean of what the operator computes stays.
        mean = channels.observed.cuts.mean(target)
        np.testing.assert_allclose(mean @ product + factors.bias_shift, mean @ weight, atol=1e-8)
        # The error that is left has nothing to do with what stays, but for the ridge.
        energy = channels.observed.cuts._energy(target)
        left = energy @ (weight - product)
        assert np.abs(left[kept]).max() < 1e-6 * np.abs(energy @ weight).max()


def test_the_graph_without_channels_computes_what_the_whole_one_does_with_the_new_weights(known):
    channels = known.analysis.channels
    plan = {each.name: 3 * each.width // 4 for each in channels.narrowings}
    taken = channels.taken(plan)
    small = rewritten(known.start, [], {}, {}, {}, taken)
    standing = StandingGraph(known.normal.clone())
    standing.take(taken.factors)
    for name, expected in _outputs(known, standing.model).items():
        found = _outputs(known, small)[name]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    shapes = {n: v.shape.numpy() for n, v in small.graph.initializers.items() if len(v.shape) == 4}
    assert sorted(shapes.values()) == [(24, 1, 3, 3), (48, 24, 3, 3), (96, 48, 3, 3)]
    assert [node.name for node in small.graph] == [node.name for node in known.dense.graph]


def test_predicted_losses_are_near_what_is_measured(known):
    channels, evaluator = known.analysis.channels, known.analysis.evaluator
    ratios = []
    for narrowing in channels.narrowings:
        width = 3 * narrowing.width // 4
        measured = evaluator.measure({narrowing.name: width}, known.analysis.weighting, {})
        ratios.append(measured / channels.losses[narrowing.name][width])
    assert 1 / 4 < np.exp(np.mean(np.log(ratios))) < 4


def test_losses_do_not_increase_with_width_and_end_at_none(known):
    for losses in known.analysis.channels.losses.values():
        assert (np.diff(losses) <= 0).all()
        assert losses[-1] == 0


def test_more_samples_know_more_of_channels(known):
    """Of samples that made the weights, they lose less than of others."""
    channels = known.analysis.channels
    evaluator = known.analysis.evaluator
    narrowing = channels.narrowings[-1]
    width = narrowing.width // 8
    unseen = evaluator.measure({narrowing.name: width}, known.analysis.weighting, {})
    seen = evaluator.divergence(channels.observed.cuts.factors({narrowing: width}), [0, 1])
    assert 0 < seen < unseen


def test_plain_zeros_lose_more_than_weights_that_make_up(known):
    channels, outputs = known.analysis.channels, known.outputs
    session = RUNTIME.session(known.normal, list(outputs))
    recorded = Recorded.of(session, list(known.data.batches("holdout")))

    def divergence(factors):
        standing = StandingGraph(known.normal.clone())
        standing.take(factors)
        found = Divergences(outputs)
        other = RUNTIME.session(standing.model, list(outputs))
        recorded.compare(other, found)
        return found.value

    for narrowing in channels.narrowings[:3]:
        fitted = channels.observed.cuts.factors({narrowing: narrowing.width // 2})
        ((name, own),) = fitted.items()
        target = narrowing.readers[0]
        rows = own.down[0].argmax(axis=0)
        plain = dataclasses.replace(own, up=target.matrices()[:, rows], bias_shift=None)
        assert divergence(fitted) < divergence({name: plain})
