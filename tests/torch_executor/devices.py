"""Where tests run: on the processor, and on a GPU where there is one; without torch, nowhere."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

DEVICES = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
