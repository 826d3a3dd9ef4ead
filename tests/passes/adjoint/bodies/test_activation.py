"""Activations of onnxruntime's domain, by bodies and by rules."""

from __future__ import annotations

import pytest
from adjoint_harness import normal
from bodies_harness import check_body


@pytest.mark.parametrize("opset", [11, 20])
@pytest.mark.parametrize("kind", ["2,3,4", "B,T,C"])
def test_bias_gelu(kind: str, opset: int) -> None:
    text = f"""(float[{kind}] x, float[4] b) => (float[{kind}] y) {{
        y = com.microsoft.BiasGelu (x, b) }}"""
    check_body(text, {"x": normal(2, 3, 4), "b": normal(4, seed=1)}, opset=opset)


@pytest.mark.parametrize("bias", ["", "b"])
def test_fast_gelu(bias: str) -> None:
    text = f"""(float[B,T,4] x{", float[4] b" if bias else ""}) => (float[B,T,C] y) {{
        y = com.microsoft.FastGelu (x{", b" if bias else ""}) }}"""
    check_body(text, {"x": normal(2, 3, 4), **({"b": normal(4, seed=1)} if bias else {})})


@pytest.mark.parametrize("attributes", ["", "<alpha = 1.5>"])
def test_quick_gelu(attributes: str) -> None:
    text = f"""(float[B,T,4] x) => (float[B,T,C] y) {{
        y = com.microsoft.QuickGelu {attributes} (x) }}"""
    check_body(text, {"x": normal(2, 3, 4)})
