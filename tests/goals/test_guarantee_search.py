"""Guarantees: how they are said, searched with made-up models, and kept on the bundled one."""

from __future__ import annotations

import json

import numpy as np
import pytest
from builders import BUNDLED, BUNDLED_DATA, distribution, model, normal
from click.testing import CliRunner

from onnx_factorize import BudgetError, InputError, factorize
from onnx_factorize.calibration import Signature, open_calibration
from onnx_factorize.cli.main import cli
from onnx_factorize.files import model_io
from onnx_factorize.goals import guarantee_search
from onnx_factorize.goals.guarantee import MeasuredGuarantee
from onnx_factorize.options import Budget, Guarantee, Selection
from onnx_factorize.passes import OutputKind
from onnx_factorize.progress import Progress
from onnx_factorize.runtime.runtimes.onnx_runtime import OnnxRuntime

PLAIN = {"y": distribution(OutputKind("gaussian"), normal(1, 400, 16))}
OPTIONS = {"samples": 256, "holdout": 0.4, "threads": 1, "weighting": "activation"}


def test_a_metric_that_there_is_not():
    with pytest.raises(InputError, match="no such metric"):
        MeasuredGuarantee.of(Guarantee("bleu", 0.9))


@pytest.mark.parametrize(("metric", "asked"), [("divergence", 0.02), ("cosine", 0.98)])
def test_strain_is_loss_over_loss_allowed(metric, asked):
    guarantee = MeasuredGuarantee(metric, asked)
    assert guarantee.strain(asked) == pytest.approx(1)
    worse = 0.04 if metric == "divergence" else 0.96
    assert guarantee.strain(worse) == pytest.approx(2)


class _Scaled:
    """Models that lose exactly what a curve says: y = x + s·n(x) with noise of the curve's size."""

    def __init__(self, curve):
        self.curve = curve
        self.budgets = []
        self.runtime = OnnxRuntime(threads=1)
        text = """(float[batch, 16] x) => (float[batch, 16] y) {
            scaled = Mul (x, large)
            noise = Sin (scaled)
            small = Mul (noise, size)
            y = Add (x, small)
        }"""
        self._text = text
        self.dense = self.runtime.session(self._model(0.0))
        proto = model(text, self._weights(0.0))
        self.data = open_calibration(
            [{"x": normal(1, 400, 16)}], Signature.of(model_io.load(proto)), Selection(400, 0.5)
        )

    def _weights(self, size):
        return {"large": np.float32([997.0]), "size": np.float32([size])}

    def _model(self, size):
        return model_io.load(model(self._text, self._weights(size)))

    def compress(self, budget):
        loss = self.curve(budget.value)
        if loss is None:
            raise BudgetError("The budget cannot be met.")
        self.budgets.append(budget)
        # The variance of x is 1, of a sine 1/2: the divergence is s² / 4.
        return self._model(2 * np.sqrt(loss)), "plan"

    def held_out(self, outputs=PLAIN):
        return guarantee_search.HeldOut(self.dense, outputs, self.data, Progress())

    def smallest(self, guarantee, **more):
        return guarantee_search.smallest_model(
            guarantee, more.pop("prefer", "size"), self.compress, self.held_out(),
            self.runtime, **more,
        )  # fmt: skip


def test_the_search_finds_the_smallest_model_that_keeps_the_guarantee():
    scaled = _Scaled(lambda budget: 0.01 / budget**2)
    _, plan, outcome = scaled.smallest(MeasuredGuarantee("divergence", 0.1))
    assert plan == "plan"
    # The curve meets the guarantee at 0.316; the bound is a little above the mean.
    assert 0.31 < outcome.budget.value < 0.35
    assert outcome.budget.kind == "targets"
    assert outcome.measured < outcome.bound <= 0.1
    assert outcome.bound < 1.15 * outcome.measured
    assert len(scaled.budgets) == len(outcome.tried) <= 10
    assert outcome.as_dict()["kept"] is True
    assert json.dumps(outcome.as_dict())


def test_the_model_is_the_one_that_was_guaranteed():
    scaled = _Scaled(lambda budget: 0.01 / budget**2)
    found, _, outcome = scaled.smallest(MeasuredGuarantee("divergence", 0.1), prefer="latency")
    assert outcome.budget.kind == "latency"
    feeds = {"x": normal(7, 50, 16)}
    wanted = scaled.runtime.session(scaled.compress(outcome.budget)[0]).run(feeds)["y"]
    np.testing.assert_array_equal(scaled.runtime.session(found).run(feeds)["y"], wanted)


def test_what_cannot_be_kept_is_refused_unless_the_best_is_wanted():
    scaled = _Scaled(lambda budget: 3 - 2 * budget)
    with pytest.raises(BudgetError, match="best-effort"):
        scaled.smallest(MeasuredGuarantee("divergence", 0.1))
    _, _, outcome = scaled.smallest(MeasuredGuarantee("divergence", 0.1), best_effort=True)
    assert outcome.budget.value > 0.95
    assert outcome.as_dict()["kept"] is False


def test_budgets_that_cannot_be_met_are_passed_over():
    scaled = _Scaled(lambda budget: None if budget < 0.6 else 0.01)
    assert 0.6 <= scaled.smallest(MeasuredGuarantee("divergence", 0.1))[2].budget.value < 0.62
    with pytest.raises(BudgetError, match="no budget"):
        _Scaled(lambda _: None).smallest(MeasuredGuarantee("divergence", 0.1))


def test_outputs_that_are_not_numbers_break_a_guarantee():
    scaled = _Scaled(lambda budget: np.nan if budget < 0.4 else 0.01)
    assert 0.4 <= scaled.smallest(MeasuredGuarantee("cosine", 0.9))[2].budget.value < 0.42


def test_samples_that_are_too_few_for_a_guarantee_are_told_beforehand():
    kinds = {"y": distribution(OutputKind("categorical", -1, "logit"), normal(1, 64, 16))}
    scaled = _Scaled(lambda _: 0.0)
    check = guarantee_search.check
    check(MeasuredGuarantee("agreement", 0.95), scaled.held_out(kinds))
    with pytest.raises(BudgetError, match="hold out about 4000"):
        check(MeasuredGuarantee("agreement", 0.999), scaled.held_out(kinds))


def test_the_bundled_model_keeps_its_guarantee_in_python():
    result = factorize(BUNDLED, BUNDLED_DATA, max_divergence=0.02, **OPTIONS)
    guarantee = result.report.promise
    assert guarantee["kept"]
    assert guarantee["measured"] == pytest.approx(result.report.divergence["holdout"], rel=1e-5)
    assert guarantee["measured"] < guarantee["bound"] <= 0.06
    assert guarantee["measurements"] <= 10
    dense, small = result.report.model["dense"], result.report.model["compressed"]
    assert small.params < 0.5 * dense.params
    again = factorize(BUNDLED, BUNDLED_DATA, budget=guarantee["budget"], **OPTIONS)
    assert again.report.divergence["holdout"] == result.report.divergence["holdout"]


def _run(folder, *arguments):
    small = [str(BUNDLED), "--calib", str(BUNDLED_DATA), "--samples", "256", "--threads", "1"]
    more = ["--weighting", "activation", "--holdout", "0.4", "-o", str(folder / "s.onnx")]
    return CliRunner().invoke(cli, [*small, *more, *arguments])


def test_the_command_keeps_top1(tmp_path):
    done = _run(tmp_path, "--keep", "top1=0.93", "--report", str(tmp_path / "r.json"))
    assert done.exit_code == 0, done.output
    assert "guarantee" in done.output
    report = json.loads((tmp_path / "r.json").read_text())
    accuracy, guarantee = report["accuracy"], report["promise"]
    assert guarantee["measured"] == pytest.approx(accuracy["compressed"] / accuracy["dense"])
    assert 0.93 <= guarantee["bound"] < guarantee["measured"]
    assert report["command"]["promise"] == "--keep top1=0.93"
    assert Budget.parse(report["command"]["budget"]) == Budget.parse(guarantee["budget"])


def test_the_command_refuses_what_cannot_be_kept_or_meant(tmp_path):
    for arguments, error in (
        (["--keep", "agreement=0.999"], BudgetError),
        (["--keep", "agreement=0.9", "--max-divergence", "1"], InputError),
        (["--max-divergence", "0.1", "--budget", "params=0.5"], InputError),
        (["--max-divergence", "0.1", "--sweep", "0.5,0.3"], InputError),
        (["--max-divergence", "0.1", "--holdout", "0"], InputError),
        (["--prefer", "beauty"], InputError),
        (["--max-divergence", "0.1", "--prefer", "beauty"], InputError),
    ):
        done = _run(tmp_path, *arguments)
        assert isinstance(done.exception, error), arguments
        assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("more", [{"quantize": "int8"}, {"finetune": True, "epochs": 2}])
def test_what_is_guaranteed_is_what_is_written(more):
    """Quantization and training come after the factorization; a guarantee is of the outcome."""
    if "finetune" in more:
        pytest.importorskip("torch")
    # Without VNNI, sums of int8 products saturate, which costs the bundled model 0.02 nats.
    report = factorize(BUNDLED, BUNDLED_DATA, max_divergence=0.06, **OPTIONS, **more).report
    guarantee = report.promise
    assert guarantee["kept"]
    assert guarantee["measured"] < guarantee["bound"] <= 0.06
    assert guarantee["measured"] == pytest.approx(report.divergence["holdout"], rel=1e-5)


def test_the_search_measures_the_finished_model():
    scaled = _Scaled(lambda budget: 0.001 / budget**2)
    lossy = scaled._model(2 * np.sqrt(0.05))
    with pytest.raises(BudgetError):
        scaled.smallest(MeasuredGuarantee("divergence", 0.04), finish=lambda _: lossy)


def test_training_that_breaks_a_guarantee_is_refused():
    scaled = _Scaled(lambda budget: 0.01 / budget**2)
    _, _, outcome = scaled.smallest(MeasuredGuarantee("divergence", 0.1))
    worse = scaled.runtime.session(scaled._model(2 * np.sqrt(0.2)))
    rest = worse, scaled.held_out()
    with pytest.raises(BudgetError, match="no more after fine-tuning"):
        guarantee_search.confirmed(outcome, *rest)
    found = guarantee_search.confirmed(outcome, *rest, best_effort=True)
    assert found.as_dict()["kept"] is False
    assert found.measured == pytest.approx(0.2, rel=0.1)
