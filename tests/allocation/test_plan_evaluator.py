"""Plans are measured on unseen folds; the choice of shrinkage falls with the data."""

from __future__ import annotations

import dataclasses

import pytest
from builders import BUNDLED, BUNDLED_DATA, timing

from onnx_factorize import factorize
from onnx_factorize.allocation.plan import Plan
from onnx_factorize.factorization import shrinkage_choice as choice_module
from onnx_factorize.factorization.forms import unfoldings_of
from onnx_factorize.factorization.moment_shrinkage import SHRINKAGES, shrinkages_for
from onnx_factorize.factorization.weightings import get_weighting
from onnx_factorize.options import Options, effort
from onnx_factorize.pipeline import calibrated
from onnx_factorize.progress import Progress
from onnx_factorize.report.warnings import warnings_of
from onnx_factorize.runtime.interleaved import Ratio

ALIKE = Ratio(1.0, (1.0, 1.0), 20)


@pytest.fixture(scope="module")
def known():
    options = Options.of(budget="targets=0.3", samples=160, threads=1)
    return calibrated(BUNDLED, BUNDLED_DATA, options, Progress())


def test_nothing_cut_measures_nothing(known):
    evaluator, fisher = known.analysis.evaluator, get_weighting("fisher")
    assert evaluator.measure({}, fisher, {}) == pytest.approx(0, abs=1e-9)


def test_deeper_cuts_measure_more(known):
    evaluator, candidate = known.analysis.evaluator, known.analysis.candidates[0]
    target = max(known.targets, key=lambda each: each.params)
    found = [
        evaluator.measure({target.name: rank}, candidate.weighting, candidate.shrinkages)
        for rank in (2, 8, 24)
    ]
    assert found[0] > found[1] > found[2] > 0


def test_a_plan_without_hope_is_measured_on_one_fold(known):
    evaluator, candidate = known.analysis.evaluator, known.analysis.candidates[0]
    plan = {each.name: 4 for each in known.targets}
    one = evaluator.measure(plan, candidate.weighting, candidate.shrinkages, 0.0)
    both = evaluator.measure(plan, candidate.weighting, candidate.shrinkages, 2 * one + 1)
    assert evaluator.measured_folds == 2
    assert one > 0
    assert one != both == evaluator.measure(plan, candidate.weighting, candidate.shrinkages)


def test_what_is_expected_is_the_divergence_of_all_folds(monkeypatch):
    monkeypatch.setitem(effort.EFFORTS, "high", dataclasses.replace(effort.HIGH, compared=99))
    options = Options.of(budget="targets=0.3", samples=160, threads=1, effort="high")
    known = calibrated(BUNDLED, BUNDLED_DATA, options, Progress())
    evaluator, candidate = known.analysis.evaluator, known.analysis.candidates[0]
    plan = {each.name: len(candidate.losses[each.name]) // 4 for each in known.targets}
    measured = evaluator.measure(plan, candidate.weighting, candidate.shrinkages)
    folds = []
    evaluator._folds.clear()  # none are at hand of the folds that no plan was tried on
    expected = evaluator.expect(plan, candidate.weighting, candidate.shrinkages, folds.append)
    assert sum(folds) == evaluator.predicted_folds == 4
    assert expected == pytest.approx(measured, rel=1e-9)
    assert evaluator.expect({}, candidate.weighting, {}) == pytest.approx(0, abs=1e-9)


def test_what_is_expected_of_a_plan_is_what_is_found(known):
    compressed = factorize(BUNDLED, BUNDLED_DATA, budget="targets=0.5", samples=800, threads=1)
    assert 0.5 < compressed.report.divergence["ratio"] < 2


def test_shrinkages_and_losses_are_there_for_every_target(known):
    predicted = known.analysis.candidates[0]
    names = {unfolding.name for target in known.targets for unfolding in unfoldings_of(target)}
    channels = set(known.analysis.channels.losses)
    assert set(predicted.losses) - channels == set(predicted.shrinkages) == names
    assert set(predicted.shrinkages.values()) <= set(SHRINKAGES)


def test_fewer_shrinkages_are_tried_on_many_samples():
    assert set(shrinkages_for(4096)) < set(shrinkages_for(64))


def test_what_was_tried_is_reported():
    report = factorize(BUNDLED, BUNDLED_DATA, budget="targets=0.5", samples=160, threads=1).report
    tried = report.divergence["tried"]
    assert {"predicted", "uniform", "activation"} <= set(tried)
    assert report.divergence["holdout"] < tried["uniform"]
    assert "evaluate plans" in report.seconds


def test_a_run_repeats_to_the_bit(known):
    def ranks():
        # Whether a model became slower, the clock decides: size is what is wanted here.
        options = {"samples": 96, "threads": 1, "seed": 5, "prefer": "size"}
        report = factorize(BUNDLED, BUNDLED_DATA, budget="targets=0.4", **options).report
        return [(layer.rank, layer.loss) for layer in report.layers], report.divergence["holdout"]

    assert ranks() == ranks()


def test_one_sample_is_enough():
    options = {"samples": 2, "holdout": 0.5, "threads": 1, "budget": "targets=0.5"}
    report = factorize(BUNDLED, BUNDLED_DATA, **options).report
    assert report.divergence["tried"] == {}
    assert dataclasses.asdict(report)["samples"] == {"calibration": 1, "holdout": 1}


def test_groups_of_targets_change_nothing(known):
    """Targets whose directions do not fit in memory are cross-validated one after the other."""
    options = Options.of(budget="targets=0.3", samples=160, threads=1, memory="1MB")
    assert len(choice_module._groups(known.targets, 14, 1)) == len(known.targets)
    assert len(choice_module._groups(known.targets, 14, options.memory.operators)) > 1
    again = calibrated(BUNDLED, BUNDLED_DATA, options, Progress())
    channels = set(known.analysis.channels.losses)  # whose moments do not fit
    losses = set(known.analysis.candidates[0].losses)
    assert set(again.analysis.candidates[0].losses) == losses - channels


@pytest.mark.parametrize(("measured", "said"), [(0.01, "new ones"), (1.0, "more calibration")])
def test_predictions_that_fail_are_an_alarm(known, measured, said):
    plan = Plan({}, {}, "predicted", {}, expected=0.1)

    def warned(holdout):
        found = warnings_of(
            known.targets, known.analysis, known.data, plan, holdout, timing(1.0, 1.0).ratio(), None
        )
        return any(said in warning for warning in found)

    assert warned(measured)
    assert not warned(0.1)


def test_slower_results_are_said_to_be_so(known):
    def warned(ratio):
        plan = Plan({}, {}, "predicted", {}, expected=None)
        found = warnings_of(
            known.targets,
            known.analysis,
            known.data,
            plan,
            0.0,
            ratio,
            None,
        )
        return any("times as long as the dense model" in warning for warning in found)

    assert warned(Ratio(1.2, (1.19, 1.21), 20))
    assert not warned(Ratio(0.9, (0.89, 0.91), 20))
    # Too noisy to say.
    assert not warned(Ratio(1.2, (0.9, 1.5), 20))


@pytest.mark.parametrize(("untrained", "said"), [(None, False), (0.2, False), (0.05, True)])
def test_training_that_did_not_help_new_samples_is_said_not_to(known, untrained, said):
    known_data = known.targets, known.analysis, known.data
    found = warnings_of(
        *known_data, Plan({}, {}, "predicted", {}, None), 0.1, timing(1.0, 1.0).ratio(), untrained
    )
    assert any("Training helped" in warning for warning in found) == said
