"""RotaryEmbedding of onnxruntime's domain."""

from __future__ import annotations

import numpy as np
import pytest
from adjoint_harness import normal
from bodies_harness import check_body

ANGLES = np.outer(np.arange(9), 0.7 ** np.arange(2)).astype(np.float32)
TABLES = {"cos": np.cos(ANGLES), "sin": np.sin(ANGLES)}
POSITIONS = {"[1]": np.array([3]), "[B, T]": np.array([[0, 1, 2], [2, 8, 5]])}


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("interleaved", [0, 1])
@pytest.mark.parametrize(
    ("kind", "shape", "attributes", "opset"),
    [
        ("2,3,12", (2, 3, 12), "", 11),
        ("B,T,C", (2, 3, 12), "", 11),
        ("B,T,C", (2, 3, 12), ", num_heads = 2, rotary_embedding_dim = 4", 11),
        ("2,2,3,4", (2, 2, 3, 4), "", 21),
        ("B,N,T,H", (2, 2, 3, 4), "", 21),
    ],
)
def test_rotary_embedding(
    kind: str, shape: tuple[int, ...], attributes: str, opset: int, interleaved: int, positions: str
) -> None:
    at = POSITIONS[positions]
    axes = "1" if at.ndim == 1 else "B,T"
    text = f"""(float[{kind}] x, int64[{axes}] at, float[9,2] cos, float[9,2] sin)
        => (float[{kind}] y) {{ y = com.microsoft.RotaryEmbedding
            <interleaved = {interleaved}{attributes}> (x, at, cos, sin) }}"""
    check_body(text, {"x": normal(*shape), "at": at, **TABLES}, ["x"], opset=opset)
