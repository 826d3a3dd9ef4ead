"""Several budgets from one calibration; dry runs."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from builders import W_LARGE, model, normal
from click.testing import CliRunner

from onnx_factorize import BudgetError, factorize, sweep
from onnx_factorize.cli.main import cli
from onnx_factorize.errors import InputError
from onnx_factorize.options import Budget
from onnx_factorize.sweeping import budgets_of

TEXT = """(float[batch, 64] x) => (float[batch, 48] y) {
    h = MatMul (x, w1) p = Add (h, b1) r = Relu (p) z = MatMul (r, w2) y = Softmax (z)
}"""
MODEL, DATA = model(TEXT, W_LARGE), {"x": normal(1, 96, 64)}
OPTIONS = {"threads": 1, "prefer": "size"}


def test_a_sweep_gives_what_single_runs_give():
    budgets = ["params=0.75", "params=0.4"]
    found = sweep(MODEL, DATA, budgets, **OPTIONS)
    assert [str(result.report.command["budget"]) for result in found] == budgets
    alone = factorize(MODEL, DATA, budget=budgets[1], **OPTIONS)
    ranks = [[layer.rank for layer in report.layers] for report in (found[1].report, alone.report)]
    assert ranks[0] == ranks[1]
    assert found[1].report.divergence["holdout"] == alone.report.divergence["holdout"]


def test_the_time_of_a_sweep_ends_all_its_searches():
    found = sweep(MODEL, DATA, ["params=0.75", "params=0.4"], max_time=1e-3, **OPTIONS)
    assert [result.report.divergence["ended"] for result in found] == ["time", "time"]


def test_budgets_that_cannot_be_met_are_left_out():
    assert len(sweep(MODEL, DATA, ["params=0.5", "params=0.001"], **OPTIONS)) == 1
    with pytest.raises(BudgetError):
        sweep(MODEL, DATA, ["params=0.001"], **OPTIONS)


def test_a_list_of_budgets():
    assert budgets_of("macs", "0.9, 0.5,") == [Budget("macs", 0.9), Budget("macs", 0.5)]
    assert budgets_of("params", "0.5,50%,0.3,0.50") == [Budget(value=0.5), Budget(value=0.3)]
    for wrong in (" , ", "0.5;0.3", "0.5,a", "0", "150%"):
        with pytest.raises(InputError, match="--sweep"):
            budgets_of("params", wrong)


def _run(folder, *arguments):
    (folder / "in").mkdir()
    onnx.save(MODEL, folder / "in/m.onnx")
    np.savez(folder / "in/d.npz", **DATA)
    small = [str(folder / "in/m.onnx"), "--calib", str(folder / "in/d.npz"), "--threads", "1"]
    return CliRunner().invoke(cli, [*small, "-o", str(folder / "s.onnx"), *arguments])


def _made(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != "in")


def test_the_command_writes_a_model_and_a_report_for_each(tmp_path):
    report = str(tmp_path / "r.json")
    done = _run(tmp_path, "--sweep", "0.6,0.3,0.001", "--report", report)
    assert done.exit_code == 0, done.output
    assert _made(tmp_path) == ["r.0.3.json", "r.0.6.json", "s.0.3.onnx", "s.0.6.onnx"]
    onnx.checker.check_model(onnx.load(tmp_path / "s.0.3.onnx"), full_check=True)
    data = json.loads((tmp_path / "r.0.3.json").read_text())
    assert data["model"]["compressed"]["params"] < 0.3 * data["model"]["dense"]["params"]
    assert "cannot be met" in done.stderr
    assert "cannot be met" not in done.stdout


def test_budgets_none_of_which_can_be_met(tmp_path):
    """The reason is that of the error, which `main` prints once."""
    done = _run(tmp_path, "--sweep", "0.001,0.002")
    assert isinstance(done.exception, BudgetError)
    assert "cannot be met" not in done.output


@pytest.mark.parametrize("more", [[], ["--sweep", "0.6,0.3"]])
def test_a_dry_run_writes_nothing(tmp_path, more):
    done = _run(tmp_path, "--dry-run", *more)
    assert done.exit_code == 0, done.output
    assert not _made(tmp_path)
