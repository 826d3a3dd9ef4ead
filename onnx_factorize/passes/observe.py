"""Expose the values that calibration watches as outputs of the graph."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

import onnx_ir as ir

from ..graph import scopes
from ..graph.builder import emit
from ._bodies import ITERATED
from ._expose import Exposer
from .find_targets import FindTargets
from .linear.target import Target

__all__ = ["Observe", "Side"]

# Where targets are observed: each on its narrow side, or all on the same.
Side = Literal["narrow", "input", "output"]


class Observe(ir.passes.InPlacePass):
    """Appends the narrow sides of targets to the outputs of the main graph (see `Exposer`).

    On request it appends the same side of all of them. Targets that read the same value share its
    tap.

    Attributes:
        taps: Target name to the name of the output that carries its input or output, whichever
            side was asked for, or `Target.side` says.
        inputs: The same of the inputs that are wanted besides.
        places: Target name to the node of the main graph that it is, or that it is within; of a
            further unfolding, the node that makes its value.
    """

    def __init__(
        self,
        names: Iterable[str],
        side: Side = "narrow",
        *,
        points: Mapping[str, ir.Value] | None = None,
        replaced: Mapping[str, ir.Value] | None = None,
        inputs: Iterable[str] = (),
    ) -> None:
        """Initializes the pass.

        Args:
            names: The targets to observe.
            side: Where.
            points: The values of further unfoldings (see `SeparateUnfoldings`).
            replaced: Target name to the input that it had before unfoldings were separated.
            inputs: Targets whose inputs are wanted besides.
        """
        self._wanted, self._read = set(names), set(inputs)
        self._points = points or {}
        self._replaced = replaced or {}
        self._side = side
        self.taps: dict[str, str] = {}
        self.inputs: dict[str, str] = {}
        self.places: dict[str, ir.Node] = {}

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Adds the taps."""
        finder = FindTargets()
        finder(model)
        expose = Exposer(model)
        repeated = {
            scope
            for scope, owners in scopes(model.graph)
            if any(owner.op_type in ITERATED for owner in owners)
        }
        outermost = {scope: owners[0] for scope, owners in scopes(model.graph) if owners}
        for name, value in self._points.items():
            assert value.dtype is not None
            producer = value.producer()
            assert producer is not None
            self.places[name] = producer
            self.taps[name] = expose(value, model.graph, value.dtype)
        for target in finder.uses:
            if not target.is_own or not isinstance(target.node.graph, ir.Graph):
                continue
            self.places[target.name] = outermost.get(target.node.graph, target.node)
            if target.name in self._wanted:
                side = target.side if self._side == "narrow" else self._side
                self.taps[target.name] = self._tap(target, side, expose, repeated)
            if target.name in self._read:
                self.inputs[target.name] = self._tap(target, "input", expose, repeated)
        return ir.passes.PassResult(model, modified=bool(self.taps))

    def _tap(self, target: Target, side: str, expose: Exposer, repeated: set[ir.Graph]) -> str:
        """Exposes one side of a target."""
        scope = target.node.graph
        assert isinstance(scope, ir.Graph)
        assert target.weight.dtype is not None
        value = target.node.outputs[0]
        if side == "input":
            value = self._replaced.get(target.name, target.x)
        home = value.graph if isinstance(value.graph, ir.Graph) else scope
        if home in repeated and target.convolution is None:
            width = target.rows if side == "input" else target.columns
            embedding = value is target.x and target.embedding
            value = _rows(value, 1 if embedding else width, home, expose)
        dtype = target.weight.dtype
        if side == "input" and target.embedding:
            dtype = value.dtype or ir.DataType.INT64
        return expose(value, scope, dtype)


def _rows(value: ir.Value, width: int, scope: ir.Graph, expose: Exposer) -> ir.Value:
    """A value of any rank as rows, which is what iterations can be stacked as."""
    shape = expose.integers([-1, width])
    name = expose.names(f"{value.name}_rows")
    return emit(scope.append, "Reshape", [value, shape], output=name)
