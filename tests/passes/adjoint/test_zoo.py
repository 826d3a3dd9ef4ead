"""Gradients at every target of the real models agree with torch autograd (`zoo_gradients`)."""

from __future__ import annotations

import pytest

import models

pytest.importorskip("torch")
from zoo_gradients import CASES, compare

pytestmark = pytest.mark.zoo


@pytest.mark.parametrize(("name", "batch", "size"), CASES)
def test_gradients_at_every_target(name: str, batch: int, size: int) -> None:
    if not models.get(name).model_path.exists():
        pytest.skip(f"the model is absent: python -m models fetch {name}")
    found = compare(name, batch, size)
    assert found.targets
    assert min(found.plain, found.pinned) < 1e-4
    assert found.exact < 1e-6
