"""A model that is loaded again and again, each time with other weights in the same graph."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy.typing as npt
import onnx_ir as ir

from .session import Runtime, Session

__all__ = ["Reloadable"]


class Reloadable:
    """Sessions of one graph: what can be done once for all of them is done once.

    Attributes:
        dense: The model with the weights that it has.
    """

    def __init__(self, model: ir.Model, runtime: Runtime, changing: Collection[ir.Value]) -> None:
        """Loads a model.

        Args:
            model: The model, whose outputs are all that is wanted of it. It is kept, and changed
                from session to session.
            runtime: What runs it.
            changing: Its initializers, of any of its graphs, that are given other contents.
        """
        self.dense = Session(model, runtime)
        self._load = runtime.loader(model, changing)
        self.dense.reload = lambda: self._load({})

    def session(self, contents: Mapping[ir.Value, npt.NDArray[Any]]) -> Session:
        """Loads the model with other contents of some initializers; the rest are as they were."""
        return self.dense.running(self._load(contents))
