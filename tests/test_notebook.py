"""Notebooks: progress in one line, and results that show their report."""

from __future__ import annotations

import html
import sys
import types

import pytest
from builders import BUNDLED, BUNDLED_DATA

from onnx_factorize import Progress, factorize, notebook
from onnx_factorize.notebook import NotebookProgress, usual_progress
from onnx_factorize.report.html import availability

OPTIONS = {"samples": 48, "threads": 1, "weighting": "activation"}


class _Handle:
    def __init__(self, shown):
        self._shown = shown

    def update(self, line):
        self._shown.append(line)


@pytest.fixture
def shown(monkeypatch):
    """What a notebook with a kernel was told to show, in turn, in one place."""
    lines = []

    def display(line, *, display_id):
        assert display_id
        assert not lines  # later ones take its place
        lines.append(line)
        return _Handle(lines)

    drawing = types.SimpleNamespace(HTML=str, display=display)
    shell = types.SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "IPython.display", drawing)
    return lines


def test_a_notebook_shows_stages_with_what_is_left(shown, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(notebook.time, "perf_counter", lambda: now[0])
    progress = NotebookProgress()
    progress.forecast.expect({"verify": 60.0})
    with progress.one_budget("<params=0.5>", more=0), progress.stage("calibrate", 10) as advance:
        now[0] += 1
        advance(5)
    said = "&lt;params=0.5&gt;: calibrate"
    bars = [f'<progress value="{k}" max="10" aria-label="{said}"></progress>' for k in (0, 5)]
    assert shown == [
        f"<span>{bars[0]} {said} 0/10</span>",
        f"<span>{bars[1]} {said} 5/10, about 0:01:01 for the run</span>",
        "",
    ]


def test_functions_show_it_by_themselves_in_a_notebook_only(shown, monkeypatch):
    assert type(usual_progress()) is NotebookProgress
    factorize(BUNDLED, BUNDLED_DATA, **OPTIONS)
    assert any("calibrate" in line for line in shown)
    assert shown[-1] == ""
    shell = types.SimpleNamespace()
    for there in (lambda: None, lambda: shell):  # plain Python, and IPython in a terminal
        monkeypatch.setattr(sys.modules["IPython"], "get_ipython", there)
        assert type(usual_progress()) is Progress
    monkeypatch.delitem(sys.modules, "IPython")
    assert type(usual_progress()) is Progress


def test_a_result_shows_its_report(monkeypatch):
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")
    result = factorize(BUNDLED, BUNDLED_DATA, **OPTIONS)
    said = result._repr_html_()
    assert said.startswith("<iframe ")
    page = html.unescape(said.partition('srcdoc="')[2].removesuffix('"></iframe>'))
    assert page.startswith("<!DOCTYPE html>")
    assert said.count('"') == 6  # nothing of the page ends the attribute

    monkeypatch.setattr(availability.importlib.util, "find_spec", lambda _: None)
    plain = result._repr_html_()
    assert plain == f"<pre>{html.escape(repr(result))}</pre>"
