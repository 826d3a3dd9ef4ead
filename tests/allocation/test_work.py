"""What a search computes follows from what calibrating took, and is known before it is computed."""

from __future__ import annotations

import dataclasses
import json

import pytest
from builders import BUNDLED, BUNDLED_DATA
from click.testing import CliRunner

from onnx_factorize import factorize
from onnx_factorize.allocation import work
from onnx_factorize.allocation.search import Search
from onnx_factorize.allocation.work import Work
from onnx_factorize.cli.main import cli
from onnx_factorize.errors import InputError
from onnx_factorize.options import HIGH, LOW, NORMAL, Options
from onnx_factorize.pipeline import calibrated
from onnx_factorize.progress import Progress
from onnx_factorize.statistics.sampling import Sampling

EFFORTS = (LOW, NORMAL, HIGH)
WORK = Work(calibration=1e11, losses=4e10, evaluation=7e9, refit=5e10, prediction=1e10)


def _known(effort, samples=96):
    options = Options.of(budget="targets=0.5", samples=samples, threads=1, effort=effort.name)
    return calibrated(BUNDLED, BUNDLED_DATA, options, Progress())


def test_what_is_left_of_the_work_goes_into_plans():
    assert WORK.evaluations(NORMAL, least=4) == 14  # (200 - 40 - 50 - 10) / 7, in 1e9
    assert WORK.evaluations(NORMAL, least=20) == 20
    assert WORK.evaluations(LOW, least=3) == 3
    assert WORK.evaluations(HIGH, least=4) is None


def test_more_labels_are_drawn_where_that_is_cheap():
    assert [NORMAL.draws(128, macs) for macs in (1e6, 4e7, 6e7, 4e8)] == [4, 3, 2, 1]
    assert NORMAL.draws(4096, 1e6) == 4 > NORMAL.draws(16384, 1e6) == 1
    assert LOW.draws(128, 1e6) == 1
    for unknown in (0.0, float("inf"), float("nan")):
        assert NORMAL.draws(128, unknown) == 1
    drawn = Sampling.of(Options.of(draws=2), 128, 1e6), Sampling.of(Options.of(), 128, 1e6)
    assert [each.draws for each in drawn] == [2, 4]
    assert Sampling.of(Options.of(labels="given"), 128, 1e6).draws == 1


@pytest.mark.parametrize("effort", EFFORTS, ids=lambda each: each.name)
def test_no_more_plans_are_measured_than_the_work_allows(effort):
    known = _known(effort)
    analysis, evaluator = known.analysis, known.analysis.evaluator
    assert evaluator.measured_folds == effort.compared
    assert ("closed form" in {each.name for each in analysis.candidates}) == (effort is NORMAL)
    result = factorize(
        BUNDLED, BUNDLED_DATA, budget="targets=0.5", samples=96, threads=1, effort=effort.name
    )
    assert result.report.command["effort"] == effort.name
    assert result.report.divergence["tried"]
    most = analysis.work.evaluations(effort, len(analysis.candidates))
    assert most is None or most >= len(analysis.candidates)


def test_the_counted_work_of_the_losses_falls_with_the_effort(monkeypatch):
    """A regression test in multiply-adds, which no machine changes."""
    monkeypatch.setattr(work, "_LOSSES", 0.0)
    low, normal, high = (_known(each).analysis.work for each in EFFORTS)
    assert low.calibration < normal.calibration == high.calibration
    assert low.losses == 0 < normal.losses < high.losses / 2
    assert low.evaluation < normal.evaluation == high.evaluation
    # Fewer samples make a calibration cheaper, but not a decomposition.
    few = _known(NORMAL, samples=48).analysis.work
    assert few.calibration < normal.calibration
    assert few.losses / few.calibration > normal.losses / normal.calibration


def test_a_low_effort_takes_fewer_gradients_but_enough():
    assert [LOW.differentiated(samples) for samples in (16, 64, 96, 256, 1024)] == [
        16, 64, 64, 64, 256,
    ]  # fmt: skip
    assert NORMAL.differentiated(1024) == 1024
    few = _known(LOW, samples=240).analysis
    for found in few.statistics.values():
        assert found.gradient.samples == 64 < few.evaluator.data.calibration_samples


def test_a_low_effort_narrows_only_where_nothing_else_may_go():
    assert not _known(LOW).analysis.channels.narrowings
    options = {"budget": "targets=0.9", "samples": 96, "threads": 1, "effort": "low"}
    report = factorize(BUNDLED, BUNDLED_DATA, narrow="only", **options).report
    assert any((row["kept"] or 0) < (row["width"] or 0) for row in report.channels)


def test_an_effort_that_is_none_gets_a_sentence():
    with pytest.raises(InputError, match="effort is low, normal, high, not 'huge'"):
        Options.of(effort="huge")
    told = CliRunner().invoke(cli, [str(BUNDLED), "--calib", str(BUNDLED_DATA), "--effort", "much"])
    assert told.exit_code != 0
    assert "Traceback" not in told.output


def test_the_command_line_takes_an_effort(tmp_path):
    out, report = tmp_path / "small.onnx", tmp_path / "report.json"
    arguments = [str(BUNDLED), "--calib", str(BUNDLED_DATA), "--samples", "48", "--threads", "1"]
    arguments += ["-q", "-o", str(out), "--report", str(report), "--effort", "low"]
    assert CliRunner().invoke(cli, arguments, catch_exceptions=False).exit_code == 0
    told = json.loads(report.read_text())
    assert told["command"]["effort"] == "low"
    assert "cross-validate losses" not in told["seconds"]


def test_an_effort_is_bounded_or_as_much_as_is_worth_it():
    assert [each.bounded for each in EFFORTS] == [True, True, False]
    assert LOW.work < NORMAL.work < HIGH.work
    assert dataclasses.replace(HIGH, work=5.0).bounded


def test_a_run_whose_time_is_over_says_so(tmp_path):
    """The budget is met all the same: by the plan that is predicted to be the best."""
    report = tmp_path / "report.json"
    arguments = [str(BUNDLED), "--calib", str(BUNDLED_DATA), "--samples", "48", "--threads", "1"]
    arguments += ["-q", "-o", str(tmp_path / "small.onnx"), "--report", str(report)]
    arguments += ["--max-time", "0.001", "--budget", "targets=0.5"]
    assert CliRunner().invoke(cli, arguments, catch_exceptions=False).exit_code == 0
    told = json.loads(report.read_text())
    assert told["divergence"]["ended"] == "time"
    assert list(told["divergence"]["tried"]) == ["predicted"]
    assert not {"cross-validate losses", "refit", "predict"} & told["seconds"].keys()
    assert any("cut short by --max-time" in each for each in told["warnings"])
    with pytest.raises(InputError, match="max_time must be above 0"):
        Options.of(max_time=0.0)


def test_whoever_interrupts_the_search_may_go_on_with_the_best_so_far(monkeypatch):
    """Asked where somebody can answer (see `ConsoleProgress`); else the run ends."""

    def broken(*_):
        raise KeyboardInterrupt

    class Asks(Progress):
        def goes_on(self, interrupt):
            return True

    monkeypatch.setattr(Search, "_improve", broken)
    options = {"budget": "targets=0.5", "samples": 48, "threads": 1}
    with pytest.raises(KeyboardInterrupt):
        factorize(BUNDLED, BUNDLED_DATA, **options)
    report = factorize(BUNDLED, BUNDLED_DATA, progress=Asks(), **options).report
    assert report.divergence["ended"] == "interrupt"
    assert any("cut short by Ctrl-C" in each for each in report.warnings)
    # A guarantee searches many times: whoever has answered is not asked, nor made to wait, again.
    asked = []
    monkeypatch.setattr(Asks, "goes_on", lambda *_: asked.append(1) or True)
    options = {"max_divergence": 0.3, "samples": 64, "threads": 1}
    report = factorize(BUNDLED, BUNDLED_DATA, progress=Asks(), **options).report
    assert len(asked) == 1
    assert report.divergence["ended"] == "interrupt"


def test_what_stages_will_take_is_said_before(caplog):
    told = WORK.foreseen(plans=6, seconds=50.0)
    assert told == {"evaluate plans": 21.0, "refit": 25.0, "predict": 5.0}
    with caplog.at_level("INFO", logger="onnx_factorize"):
        factorize(BUNDLED, BUNDLED_DATA, budget="targets=0.5", samples=48, threads=1)
    lines = [record.getMessage() for record in caplog.records]
    come = next(place for place, line in enumerate(lines) if line.startswith("to come: "))
    assert any(line.startswith("evaluate plans: ") for line in lines[come:])
    assert not any(line.startswith("evaluate plans: ") for line in lines[:come])


def test_more_is_cross_validated_where_the_calibration_pays_for_it(monkeypatch):
    monkeypatch.setattr(work, "_LOSSES", 0.0)
    assert _known(NORMAL).analysis.evaluator.effort.folds == NORMAL.folds
    monkeypatch.setattr(work, "_LOSSES", 10.0)
    effort = _known(NORMAL).analysis.evaluator.effort
    assert (effort.metrics, effort.folds) == (HIGH.metrics, HIGH.folds)
    assert effort.work == NORMAL.work
    assert _known(LOW).analysis.evaluator.effort == LOW


def test_a_model_that_is_cheap_is_worth_more_than_its_calibration():
    few = 3e9
    assert NORMAL.is_cheap(few)
    assert NORMAL.allowed(few) == NORMAL.least > NORMAL.work * few
    assert NORMAL.allowed(1e9) == 2 * NORMAL.work * 1e9
    assert not NORMAL.is_cheap(1e11)
    assert NORMAL.allowed(1e11) == 2e11
    assert not HIGH.is_cheap(few)
    assert _known(NORMAL, samples=40).analysis.evaluator.effort.folds == HIGH.folds
