"""Axe finds no fault with the pages, where there are a browser and axe-core.

`npm install axe-core`, and AXE_CORE=node_modules/axe-core/axe.min.js.
"""

from __future__ import annotations

import os
import pathlib

import pytest
from builders import BUNDLED, BUNDLED_DATA

pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")

from browser import BROWSER, faults

from onnx_factorize import sweep
from onnx_factorize.report.html.page import report_page
from onnx_factorize.report.html.sweep_page import sweep_page

AXE = os.environ.get("AXE_CORE")


@pytest.fixture(scope="module")
def reports():
    options = {"samples": 64, "threads": 1, "prefer": "size", "effort": "low"}
    found = sweep(BUNDLED, BUNDLED_DATA, ["params=0.7", "params=0.3"], **options)
    return [result.report.as_plain() for result in found]


@pytest.mark.skipif(BROWSER is None or AXE is None, reason="there is no Chromium, or no axe-core")
@pytest.mark.parametrize("width", [400, 1280])
@pytest.mark.parametrize("kind", ["report", "sweep"])
def test_axe_finds_no_fault(reports, kind, width, tmp_path):
    page = tmp_path / "page.html"
    made = report_page(reports[1]) if kind == "report" else sweep_page(reports)
    page.write_text(made, encoding="utf-8")
    assert faults(page, width, pathlib.Path(str(AXE))) == []
