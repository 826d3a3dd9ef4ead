"""Predict, then measure: on a made-up model whose true losses are known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from onnx_factorize.allocation.candidate import Candidate, MeasuredPlan
from onnx_factorize.allocation.lagrangian import Choices, allocate_global, allocate_uniform
from onnx_factorize.allocation.plan_changes import rescaled
from onnx_factorize.allocation.search import Search, most_measurements
from onnx_factorize.factorization.forms import form_names
from onnx_factorize.factorization.weightings import get_weighting


def search(candidates, allocate, evaluator, advance=lambda _: None, forms=None, most=None):
    """A search that nothing ends early."""
    one = Search(candidates, allocate, evaluator, forms, most)
    one.run(advance)
    return one.found


RANKS = np.arange(1, 9)
LIMIT = 20.0


class FakeEvaluator:
    """Measures the true losses, which the candidates need not know."""

    def __init__(self, true):
        self.true, self.measurements, self.most = true, 0, []

    def measure(self, ranks, weighting, shrinkages, most=np.inf):
        self.measurements += 1
        self.most.append(most)
        factor = 1.0 if weighting.name == "fisher" else 2.0
        return factor * sum(self.true[name][rank] for name, rank in ranks.items() if rank)


def _curves(weights):
    return {name: weight * np.append(2.0 ** -np.arange(9), 0.0) for name, weight in weights.items()}


def _allocate(candidate):
    choices = [
        Choices(name, np.append(RANKS, 0), np.append(RANKS, 12.0), np.append(curve[RANKS], 0.0))
        for name, curve in candidate.losses.items()
    ]
    return (allocate_uniform if candidate.uniform else allocate_global)(choices, LIMIT)


def _candidates(losses):
    fisher, activation = get_weighting("fisher"), get_weighting("activation")
    return [
        Candidate("predicted", fisher, {}, losses),
        Candidate("uniform", fisher, {}, losses, uniform=True),
        Candidate("activation", activation, {}, losses),
    ]


@pytest.mark.parametrize("full", [1, 2, 3, 8])
def test_what_stays_dense_is_cut_to_be_measured(full):
    """A cut to rank 0 would be none, and measured as one that loses nothing."""
    losses = {"head": np.linspace(1, 0, full + 1), "body": np.linspace(1, 0, 9)}
    candidate = Candidate("predicted", get_weighting("fisher"), {}, losses)
    seen = []

    def measure(candidate, cut):
        seen.append(cut)
        return candidate.loss(cut)

    found = rescaled(MeasuredPlan(candidate, {"head": 0, "body": 4}, 0.5), measure)
    assert all(rank for cut in seen for rank in cut.values())
    for name, loss in losses.items():
        np.testing.assert_allclose(found.losses[name], loss)


def test_a_right_prediction_stays():
    true = _curves({"a": 1.0, "b": 4.0, "c": 0.1})
    evaluator = FakeEvaluator(true)
    candidates = _candidates(true)
    found = search(candidates, _allocate, evaluator)
    assert found.best.candidate.name == "predicted"
    assert found.tried["predicted"] == min(found.tried.values())
    assert evaluator.measurements <= most_measurements(candidates, {})


@pytest.mark.parametrize("factor", [0.125, 0.08])
def test_a_wrong_prediction_isrescaled(factor):
    true = _curves({"a": 1.0, "b": 4.0, "c": 0.1})
    wrong = {name: curve * (factor if name == "a" else 1.0) for name, curve in true.items()}
    found = search(_candidates(wrong), _allocate, FakeEvaluator(true))
    right = _allocate(_candidates(true)[0])
    best = FakeEvaluator(true).measure(right, get_weighting("fisher"), {})
    assert found.tried["predicted"] > 1.2 * best
    assert min(found.tried.values()) < 1.1 * best


def test_other_plans_are_given_up_by_the_best_so_far():
    true = _curves({"a": 1.0, "b": 4.0, "c": 0.1})
    evaluator = FakeEvaluator(true)
    found = search(_candidates(true), _allocate, evaluator, most=3)
    assert evaluator.most[0] == np.inf  # nothing to compare with
    assert evaluator.most[1] == 2 * found.tried["predicted"]


def test_another_candidate_wins_where_it_is_better():
    true = _curves({"a": 1.0, "b": 1.0, "c": 1.0})
    wrong = _curves({"a": 1e6, "b": 1e-6, "c": 1e-6})
    found = search(_candidates(wrong), _allocate, FakeEvaluator(true))
    assert found.best.candidate.name == "uniform"
    assert found.tried["uniform"] < found.tried["predicted"]


def test_the_best_of_other_origins_is_known_too():
    """Without what takes the same as the best: that would be refitted twice."""
    true = _curves({"a": 1.0, "b": 4.0, "c": 0.1})
    found = search(_candidates(true), _allocate, FakeEvaluator(true))
    names = [each.candidate.name for each in found.origins]
    assert found.best.candidate.name == "predicted"
    assert names == ["uniform", "activation"] or names == ["activation", "uniform"]
    lost = [each.divergence for each in found.origins]
    assert found.best.divergence <= lost[0] <= lost[1]
    one = _candidates(_curves({"a": 1.0, "b": 1e6, "c": 1e-6}))
    best = search(one, _allocate, FakeEvaluator(_curves({"a": 1.0, "b": 1.0, "c": 1.0})))
    assert best.best.candidate.name == "uniform"
    assert "predicted" in [each.candidate.name for each in best.origins]


def test_what_is_not_finite_never_wins():
    true = _curves({"a": 1.0, "b": 4.0, "c": 0.1})

    class Broken(FakeEvaluator):
        def measure(self, ranks, weighting, shrinkages, most=np.inf):
            value = super().measure(ranks, weighting, shrinkages, most)
            return float("inf") if weighting.name == "activation" else value

    found = search(_candidates(true), _allocate, Broken(true))
    assert found.best.candidate.weighting.name == "fisher"


# Three operators that may each be cut in two unfoldings; the evaluator knows which is the better.
UNFOLDINGS = {name: {"channel": name, "spatial": f"{name} (spatial)"} for name in "abc"}
FORMS = {
    name: {form: frozenset([unfolding]) for form, unfolding in unfoldings.items()}
    for name, unfoldings in UNFOLDINGS.items()
}


def _in_unfoldings(by_operator):
    return {
        UNFOLDINGS[name][form]: curve
        for name, forms in by_operator.items()
        for form, curve in forms.items()
    }


def _losses(better):
    """Curves by unfolding, the better form of each operator losing two thirds of the other."""
    curve = _curves({"a": 1.0, "b": 4.0, "c": 0.5})
    return _in_unfoldings(
        {
            name: {form: curve[name] * (1.0 if form == best else 1.5) for form in UNFOLDINGS[name]}
            for name, best in better.items()
        }
    )


def _allocate_unfoldings(candidate):
    choices = []
    for name, unfoldings in UNFOLDINGS.items():
        if candidate.forms.get(name) in ("input", "tucker"):
            return None
        form = candidate.forms.get(name)
        wanted = [unfoldings[form]] if form else list(unfoldings.values())
        rows = sorted(
            (float(rank), float(candidate.losses[unfolding][rank]), unfolding)
            for unfolding in wanted
            for rank in RANKS
        )
        rows = [(c, x, v) for c, x, v in rows if x == min(y for d, y, _ in rows if d == c)]
        plans = [{w: int(c) if w == v else 0 for w in wanted} for c, _, v in rows]
        plans.append(dict.fromkeys(wanted, 0))
        choices.append(
            Choices(
                name,
                np.array([max(plan.values()) for plan in plans]),
                np.array([*(c for c, _, _ in rows), 12.0]),
                np.array([*(x for _, x, _ in rows), 0.0]),
                tuple(plans),
            )
        )
    return (allocate_uniform if candidate.uniform else allocate_global)(choices, LIMIT)


def _taken(ranks):
    return {name for name, rank in ranks.items() if rank}


@pytest.mark.parametrize("right", ["a", "b", "c"])
def test_the_form_of_one_operator_is_corrected(right):
    """One operator is better off in the form that the prediction thinks the worse."""
    true = _losses({name: "spatial" if name == right else "channel" for name in UNFOLDINGS})
    wrong = _losses(dict.fromkeys(UNFOLDINGS, "channel"))
    operators = {
        unfolding: name
        for name, unfoldings in UNFOLDINGS.items()
        for unfolding in unfoldings.values()
    }
    candidates = [dataclasses.replace(each, operators=operators) for each in _candidates(wrong)]
    evaluator = FakeEvaluator(true)
    found = search(candidates, _allocate_unfoldings, evaluator, forms=FORMS)
    assert UNFOLDINGS[right]["spatial"] in _taken(found.best.ranks)
    assert UNFOLDINGS[right]["channel"] not in _taken(found.best.ranks)
    assert found.tried["spatial form"] > found.best.divergence
    assert "tucker form" not in found.tried  # it has no ranks within the budget
    assert evaluator.measurements <= most_measurements(candidates, FORMS)
    without = search(candidates, _allocate_unfoldings, FakeEvaluator(true))
    assert found.best.divergence < without.best.divergence
    assert without.others == []


def test_one_form_for_all_wins_where_it_is_better():
    true = _losses(dict.fromkeys(UNFOLDINGS, "spatial"))
    wrong = _losses(dict.fromkeys(UNFOLDINGS, "channel"))
    operators = {
        unfolding: name
        for name, unfoldings in UNFOLDINGS.items()
        for unfolding in unfoldings.values()
    }
    candidates = [dataclasses.replace(each, operators=operators) for each in _candidates(wrong)]
    found = search(candidates, _allocate_unfoldings, FakeEvaluator(true), forms=FORMS)
    assert found.best.divergence <= found.tried["spatial form"]
    assert all(name.endswith("(spatial)") for name in _taken(found.best.ranks))
    # Others have different unfoldings, and come in the order of what they lost.
    assert len({frozenset(_taken(each.ranks)) for each in found.others}) == len(found.others) > 0
    lost = [each.divergence for each in found.others]
    assert lost == sorted(lost)
    assert set(form_names()) > {name.split()[0] for name in found.tried if name.endswith(" form")}


@pytest.mark.parametrize("most", [1, 3, 5, 9, 14, 40])
@pytest.mark.parametrize("formed", [False, True])
def test_where_plans_are_bounded_no_more_are_measured(most, formed):
    true = _curves({name: 1.0 + place for place, name in enumerate("abcdef")})
    wrong = {name: curve * (0.1 if name == "a" else 1.0) for name, curve in true.items()}
    candidates, evaluator = _candidates(wrong), FakeEvaluator(true)
    forms = {n: {"channel": frozenset([n]), "input": frozenset()} for n in "ab"} if formed else {}
    steps = []
    found = search(candidates, _allocate, evaluator, steps.append, forms, most)
    assert evaluator.measurements <= max(most, len(candidates))
    assert evaluator.measurements <= most_measurements(candidates, forms, most)
    free = search(candidates, _allocate, FakeEvaluator(true), forms=forms)
    assert found.best.divergence <= max(found.tried.values())
    if most >= 14:  # enough to cut each alone: as good as without a bound
        assert found.best.divergence <= 1.05 * free.best.divergence


def test_where_predictions_are_far_off_more_is_measured_than_the_work_allows():
    true = _curves({name: 1.0 + place for place, name in enumerate("abcdef")})
    for share, off in ((1.0, False), (0.5, False), (0.01, True)):
        known = {name: share * curve for name, curve in true.items()}
        candidates, evaluator = _candidates(known), FakeEvaluator(true)
        search(candidates, _allocate, evaluator, most=3)
        assert (evaluator.measurements > 3) == off
    one = MeasuredPlan(candidates[0], {"a": 2, "b": 0}, 1.0)
    assert one.predicted == pytest.approx(float(known["a"][2]))


@pytest.mark.parametrize("measured", [0, 1, 4])
def test_a_search_whose_time_is_over_has_the_best_so_far(measured):
    true = _curves({"a": 1.0, "b": 4.0, "c": 0.1})
    wrong = {name: curve * (0.125 if name == "a" else 1.0) for name, curve in true.items()}
    evaluator = FakeEvaluator(true)
    one = Search(_candidates(wrong), _allocate, evaluator)
    assert not one.begun
    one.run(late=lambda: evaluator.measurements >= measured)
    assert one.ended == "time"
    assert evaluator.measurements == max(1, measured)
    assert one.found.best.divergence == min(one.found.tried.values())


def test_an_interrupted_search_has_the_best_so_far():
    true = _curves({"a": 1.0, "b": 4.0, "c": 0.1})

    class Interrupted(FakeEvaluator):
        def measure(self, ranks, weighting, shrinkages, most=np.inf):
            if self.measurements == 2:
                raise KeyboardInterrupt
            return super().measure(ranks, weighting, shrinkages, most)

    one = Search(_candidates(true), _allocate, Interrupted(true))
    with pytest.raises(KeyboardInterrupt):
        one.run()
    assert one.begun
    assert one.found.best.candidate.name == "predicted"
