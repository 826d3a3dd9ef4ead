"""The page of a sweep: the front is what it should be, and the page is whole."""

from __future__ import annotations

import copy
import itertools

import pytest
from builders import BUNDLED, BUNDLED_DATA
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")

from browser import BROWSER, see

from onnx_factorize import sweep
from onnx_factorize.cli.main import cli
from onnx_factorize.report.html.pareto import Point, pareto
from onnx_factorize.report.html.sweep_page import sweep_page

COORDINATES = st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), max_size=9)


@given(COORDINATES, st.booleans())
def test_the_front_is_what_nothing_beats(coordinates, less):
    points = [Point(str(k), cost, quality) for k, (cost, quality) in enumerate(coordinates)]
    sign = 1 if less else -1

    def beats(a, b):
        no_worse = a.cost <= b.cost and sign * a.quality <= sign * b.quality
        return no_worse and (a.cost, a.quality) != (b.cost, b.quality)

    wanted = {(p.cost, p.quality) for p in points if not any(beats(q, p) for q in points)}
    found = pareto(points, less_is_better=less)
    assert [(p.cost, p.quality) for p in found] == sorted(wanted)


@pytest.fixture(scope="module")
def reports():
    options = {"samples": 64, "threads": 1, "prefer": "size"}
    found = sweep(BUNDLED, BUNDLED_DATA, ["params=0.7", "params=0.2"], **options)
    return [result.report.as_plain() for result in found]


def test_it_shows_each_model_and_what_was_not_met(reports):
    page = sweep_page(reports, ["Budget <z> is too small."], ["a.html", None])
    assert page.count("<svg") == 4  # divergence and accuracy, each against size and latency
    assert "Budget &lt;z&gt; is too small." in page
    assert '<a href="a.html">params=0.7</a>' in page
    assert "params=0.2</td>" in page.replace("\n", "")
    bare = [{**report, "accuracy": None, "timing": None} for report in reports]
    assert sweep_page(bare).count("<svg") == 1


def test_latencies_are_shares_of_the_dense_model_that_each_was_timed_beside(reports):
    """The machine was twice as slow when the second was timed: its milliseconds do not compare."""
    timed = [copy.deepcopy(report) for report in reports]
    for report, pace, ratio in zip(timed, (1.0, 2.0), (0.8, 0.6), strict=True):
        report["model"]["dense"]["latency_ms"] = 10.0 * pace
        report["model"]["compressed"]["latency_ms"] = 10.0 * pace * ratio
        report["timing"] |= {"ratio": ratio, "quartiles": [ratio - 0.01, ratio + 0.01]}
    page = sweep_page(timed)
    assert "8 ms (0.80 x)" in page
    assert "12 ms (0.60 x)" in page
    assert "noisy" not in page.partition("<script")[0]
    timed[1]["timing"]["quartiles"] = [0.5, 1.1]
    assert "12 ms (0.60 x ?)" in sweep_page(timed)


def test_the_command_writes_a_page_of_pages(tmp_path):
    small = [str(BUNDLED), "--calib", str(BUNDLED_DATA), "--samples", "48", "--threads", "1"]
    more = ["--prefer", "size", "--sweep", "0.6,0.3,0.001", "--report", str(tmp_path / "r.html")]
    done = CliRunner().invoke(cli, [*small, "-o", str(tmp_path / "s.onnx"), *more])
    assert done.exit_code == 0, done.output
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"r.html", "r.0.6.html", "r.0.3.html", "s.0.6.onnx", "s.0.3.onnx"}
    page = (tmp_path / "r.html").read_text()
    for name in names - {"r.html"}:
        assert name in page
    assert "cannot be met" in page
    assert "--sweep 0.6,0.3,0.001" in page


@pytest.mark.skipif(BROWSER is None, reason="there is no Chromium")
@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_opens_it_without_complaint(reports, width, tmp_path):
    page = tmp_path / "sweep.html"
    page.write_text(sweep_page([*itertools.chain(reports, reports)]), encoding="utf-8")
    seen = see(page, width)
    assert seen.title == "fashion-cnn.onnx, a sweep"
    assert seen.width <= width
    assert seen.sticking_out == 0
    assert not seen.complaints
