"""Activations with a bias."""

from __future__ import annotations

import pytest
from adjoint_harness import normal
from bodies_harness import check_body


@pytest.mark.parametrize("opset", [13, 20])
@pytest.mark.parametrize("kind", ["2,3,4", "B,T,C"])
def test_bias_gelu(kind: str, opset: int) -> None:
    text = f"""(float[{kind}] x, float[4] b) => (float[{kind}] y) {{
        y = com.microsoft.BiasGelu (x, b) }}"""
    check_body(text, {"x": normal(2, 3, 4), "b": normal(4, seed=1)}, opset=opset)
