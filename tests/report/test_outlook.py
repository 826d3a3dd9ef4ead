"""What `inspect` foretells is what comes of it."""

from __future__ import annotations

import pytest
from builders import BUNDLED, BUNDLED_DATA, model, normal

from onnx_factorize import factorize
from onnx_factorize.report.inspection import inspect
from onnx_factorize.report.outlook import BUDGETS, Outlook


def test_budgets_leave_what_was_foretold():
    found = {row.budget: row for row in inspect(BUNDLED).outlook}
    assert set(found) == {f"params={share}" for share in BUDGETS}
    for budget in ("params=0.75", "params=0.35"):
        report = factorize(
            BUNDLED,
            BUNDLED_DATA,
            budget=budget,
            ranks="uniform",
            weighting="none",
            form="channel",
            samples=8,
            threads=1,
        ).report
        made, said = report.model["compressed"], found[budget]
        assert said.params == pytest.approx(made.params, rel=5e-3)
        assert said.bytes == pytest.approx(made.bytes, rel=1e-2)
        assert said.macs == pytest.approx(made.macs, rel=2e-2)
        assert said.cut == sum(layer.status == "factorized" for layer in report.layers)


def test_what_cannot_be_met_has_no_figures():
    text = "(float[b, 8] x) => (float[b, 8] y) { h = MatMul (x, w) [a] y = Add (h, k) }"
    proto = model(text, {"w": normal(1, 8, 8), "k": normal(2, 1, 8)})
    # Rank 1 of 8 x 8, and what cannot be cut: (16 + 8) of 72.
    budgets = [row.budget for row in inspect(proto).outlook]
    assert budgets == ["params=0.9", "params=0.75", "params=0.5", "params=0.35"]
    wide = model(text, {"w": normal(1, 8, 8), "k": normal(2, 100, 8)})
    assert inspect(wide).outlook == [Outlook(budget) for budget in budgets]
