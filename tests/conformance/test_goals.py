"""What holds for every budget and guarantee that is registered, and how one is added."""

from __future__ import annotations

import json
import re

import numpy as np
import onnx
import pytest
from builders import BUNDLED, BUNDLED_DATA, ROOT, found, model, normal
from commands import main_of

from onnx_factorize.allocation.candidates import candidates, only_dense
from onnx_factorize.allocation.model_costs import Costs
from onnx_factorize.allocation.price import Taken
from onnx_factorize.curve import Curve
from onnx_factorize.errors import InputError
from onnx_factorize.goals.budgets import budget_names, check_budget, price_of, registry
from onnx_factorize.goals.guarantee import MeasuredGuarantee
from onnx_factorize.goals.quantities import quantity_names, quantity_of
from onnx_factorize.goals.quantities import registry as quantities
from onnx_factorize.goals.quantities.confidence import Estimate
from onnx_factorize.options import Budget, Guarantee
from onnx_factorize.runtime.arithmetic import Arithmetic

CURVE = Curve(2.0, (1, 20), (0.1, 2.0))


@pytest.fixture(scope="module")
def target():
    text = "(float[2, 24] x) => (float[2, 20] y) { [m] y = MatMul (x, w) }"
    return found(model(text, {"w": normal(1, 24, 20)}))[1].targets[0]


def _price(name):
    arithmetic = Arithmetic(960, {"m": 960})
    return price_of(Budget(name, 0.5), Costs(500, 2500, arithmetic, latency_ms=3.0))


@pytest.mark.parametrize("name", budget_names())
def test_it_is_read_and_written_as_one_types_it(name):
    budget = Budget.parse(f"{name}=40%")
    assert str(budget) == f"{name}=0.4"
    assert check_budget(budget).name == name
    assert Budget.parse(str(budget)) == budget


@pytest.mark.parametrize("name", budget_names())
def test_cuts_cost_less_than_the_dense_operator_and_more_as_the_rank_grows(name, target):
    price = _price(name)
    price.check()
    losses = np.linspace(1, 0, 21)
    found = candidates(target, losses, price, 960, 2, CURVE if price.timed else None)
    assert len(found.ranks) > 2
    assert (np.diff(found.costs) > 0).all()
    assert found.dense == price.of(target, Taken.dense(target, 960, CURVE))[0]
    assert only_dense(target, price, 960).costs.shape == (1,)


@pytest.mark.parametrize("name", budget_names())
def test_a_model_costs_no_less_than_its_targets(name, target):
    price = _price(name)
    assert price.of_model([target]) >= price.of(target, Taken.dense(target, 960, CURVE))[0]
    assert price.of_stored([target]) == price.of_model([target])
    assert price.why_not_less(1.0) == ""


def _run_example(title):
    """Runs an example of the page on how to extend as it stands there."""
    text = (ROOT / "docs" / "development" / "extending.md").read_text(encoding="utf-8")
    section = text.partition(f"## {title}\n")[2].partition("\n## ")[0]
    (code,) = re.findall(r"```python\n(.*?)```", section, flags=re.DOTALL)
    assert len(code.splitlines()) <= 40
    exec(compile(code, "extending.md", "exec"), {"__name__": __name__})


@pytest.fixture
def toy(monkeypatch):
    """The example of a budget."""
    monkeypatch.setattr(registry, "_PRICES", dict(registry._PRICES))
    _run_example("A budget")


@pytest.fixture
def toy_guarantee(monkeypatch):
    """The example of a guarantee."""
    monkeypatch.setattr(quantities, "_QUANTITIES", dict(quantities._QUANTITIES))
    _run_example("A guarantee")


@pytest.mark.usefixtures("toy")
def test_the_command_uses_the_example(tmp_path, monkeypatch, capsys):
    report, small = tmp_path / "report.json", tmp_path / "small.onnx"
    arguments = [BUNDLED, "--calib", BUNDLED_DATA, "-o", small, "--threads", 1, "--prefer", "size"]
    arguments += ["--budget", "toy=0.5", "--weighting", "activation", "--samples", 32]
    arguments += ["--report", report]
    code, _, error = main_of([str(each) for each in arguments], monkeypatch, capsys)
    assert code == 0, error
    made = json.loads(report.read_text())
    assert made["command"]["budget"] == "toy=0.5"
    cut = [layer["params"] for layer in made["layers"] if layer["status"] != "skipped"]
    assert sum(after for _, after in cut) <= 0.5 * sum(before for before, _ in cut)
    metadata = {entry.key: entry.value for entry in onnx.load(small).metadata_props}
    assert any("--budget toy=0.5" in value for value in metadata.values())


@pytest.mark.usefixtures("toy")
def test_the_example_cannot_be_met_beyond_what_there_is(monkeypatch, capsys):
    arguments = [BUNDLED, "--calib", BUNDLED_DATA, "--dry-run", "--threads", 1]
    arguments += ["--budget", "toy=0.0001", "--weighting", "none", "--samples", 16]
    code, _, error = main_of([str(each) for each in arguments], monkeypatch, capsys)
    assert code == 3
    assert "toy=" in error


@pytest.mark.usefixtures("toy_guarantee")
def test_the_command_keeps_the_example(tmp_path, monkeypatch, capsys):
    report, small = tmp_path / "report.json", tmp_path / "small.onnx"
    arguments = [BUNDLED, "--calib", BUNDLED_DATA, "-o", small, "--threads", 1]
    arguments += ["--keep", "toy=0.8", "--weighting", "activation", "--samples", 128]
    arguments += ["--report", report]
    code, out, error = main_of([str(each) for each in arguments], monkeypatch, capsys)
    assert code == 0, error
    assert "guarantee: toy, as a share of the dense model's, above 0.8" in " ".join(out.split())
    made = json.loads(report.read_text())
    assert made["command"]["promise"] == "--keep toy=0.8"
    assert made["promise"]["metric"] == "toy"
    assert made["promise"]["kept"]
    assert 0.8 <= made["promise"]["bound"] <= made["promise"]["measured"] <= 1
    small_params, params = (made["model"][key]["params"] for key in ("compressed", "dense"))
    assert small_params < params


def test_names_are_unique_and_unknown_ones_are_refused():
    with pytest.raises(ValueError, match="budget 'params' already"):
        registry.register(type("Other", (type(_price("params")),), {}))
    with pytest.raises(InputError, match=r"no budget 'best'; use one of .*params"):
        check_budget(Budget("best", 0.5))


@pytest.mark.parametrize("name", quantity_names())
def test_a_guarantee_is_kept_by_no_loss_and_stretched_by_more(name):
    kind = quantity_of(name)
    kept = MeasuredGuarantee.of(Guarantee(name, 0.9))
    assert kept.kind is kind
    assert (kept.option == f"--keep {name}=0.9") == kind.share
    assert kept.strain(1.0 if kind.share else 0.0) == 0
    assert kept.strain(1 - kept.allowed if kind.share else kept.allowed) == pytest.approx(1)
    assert kept.strain(kind.nothing) > 1
    # The bound is on the side where the guarantee breaks.
    shares = np.array([0.7, 0.8, 0.9])
    assert (kept.bound(Estimate(0.8, shares)) < 0.8) == kind.share
    assert name in kept.described


def test_a_metric_that_is_none():
    with pytest.raises(InputError, match=r"no such metric; use one of agreement"):
        MeasuredGuarantee.of(Guarantee("bleu", 0.9))
