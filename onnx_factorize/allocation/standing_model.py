"""Plans in a graph that stands, loaded again for each at the cost of loading alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx_ir as ir

from ..factorization.standing_graph import StandingGraph
from ..passes import Factors, FixDraws, KeepOutputs, with_outputs
from ..runtime.reloadable import Reloadable
from ..runtime.session import Runtime, Session

__all__ = ["StandingModel"]


class StandingModel:
    """A normalised model, and sessions of it with factors in it.

    Attributes:
        dense: The model as it is.
    """

    def __init__(self, normal: ir.Model, outputs: Sequence[str], runtime: Runtime) -> None:
        """Loads the dense model.

        Args:
            normal: The normalised model; it is not changed.
            outputs: The values that are wanted of it.
            runtime: What runs it.
        """
        model = with_outputs(normal, outputs)
        model = normal.clone() if model is normal else model
        FixDraws()(model)
        KeepOutputs(outputs)(model)
        self._graph = StandingGraph(model)
        self._reloadable = Reloadable(model, runtime, self._graph.changing)
        self.dense = self._reloadable.dense

    def session(self, factors: Mapping[str, Factors]) -> Session:
        """Loads the model with factors in it.

        Args:
            factors: Target name to factors; of targets on which no output depends they are ignored.
        """
        return self._reloadable.session(self._graph.contents(factors))
