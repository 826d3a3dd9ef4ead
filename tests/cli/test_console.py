"""Where the command line is, for logs and pipes: lines now and then."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from onnx_factorize.cli import console
from onnx_factorize.cli.console import ConsoleProgress, open_console


@pytest.fixture
def clock(monkeypatch):
    """A clock that each of several steps of 10 seconds moves on."""
    now = [0.0]
    monkeypatch.setattr(console.time, "perf_counter", lambda: now[0])
    return now


def test_a_file_gets_a_line_every_half_minute(clock):
    out = io.StringIO()
    with ConsoleProgress(Console(file=out)).stage("calibrate", 1000) as advance:
        for _ in range(5):
            clock[0] += 10
            advance(100)
    assert out.getvalue().splitlines() == [
        "calibrate              300/1,000, 0:01:10 left",
        "calibrate              0:00:50",
    ]


def test_a_file_hears_nothing_of_what_is_brief(clock):
    out = io.StringIO()
    progress = ConsoleProgress(Console(file=out))
    for total in (None, 10):
        with progress.stage("read", total) as advance:
            clock[0] += 1
            advance(10)
    assert out.getvalue() == ""


def test_progress_never_passes_its_end(clock):
    """A batch holds more samples than the twelve that were wanted."""
    out = io.StringIO()
    with ConsoleProgress(Console(file=out)).stage("verify", 12) as advance:
        for _ in range(3):
            clock[0] += 31
            advance(8)
    assert [line.split(",")[0] for line in out.getvalue().splitlines()] == [
        "verify on new samples  8/12",
        "verify on new samples  12/12",
        "verify on new samples  0:01:33",
    ]


def test_quiet_is_quiet(capsys):
    out, progress = open_console(quiet=True)
    with progress.stage("read") as advance:
        advance(1)
    out.print("something")
    assert capsys.readouterr() == ("", "")


def test_lines_name_the_budget_at_hand_and_what_the_whole_run_has_left(clock):
    out = io.StringIO()
    progress = ConsoleProgress(Console(file=out, width=160))
    progress.foresee({"calibrate": 4.0, "evaluate plans": 100.0, "verify": 20.0})
    with progress.one_budget("params=0.5", more=2), progress.stage("evaluate plans", 10) as advance:
        clock[0] += 40
        advance(5)  # slower than was thought
    assert out.getvalue().splitlines() == [
        (
            "to come                calibrate about 0:00:04, choose ranks about 0:01:40, verify on "
            "new samples about 0:00:20"
        ),
        "params=0.5: choose ranks 5/10, 0:00:40 left, about 0:05:04 for the run",
        "params=0.5: choose ranks 0:00:40",
    ]
    assert progress.budget == ""


def test_a_terminal_shows_both_times(clock):
    out = io.StringIO()
    progress = ConsoleProgress(Console(file=out, force_terminal=True, width=120))
    progress.forecast.expect({"verify": 61.0})
    with progress.stage("calibrate", 10) as advance:
        clock[0] += 1
        advance(5)
    assert "run: 0:01:01" in out.getvalue()


def test_nobody_foresees_a_search_over_budgets(clock):
    progress = ConsoleProgress(Console(file=io.StringIO()))
    progress.forecast.expect({"verify": 61.0})
    assert progress.forecast.left("verify", 1.0, None) == 60.0
    with progress.one_budget("params=0.5", more=None):
        assert progress.forecast.left("verify", 1.0, None) is None
