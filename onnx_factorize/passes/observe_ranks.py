"""Ranks and types that shape inference does not find, to be taken from runs of the data."""

from __future__ import annotations

from collections.abc import Mapping

import onnx_ir as ir

from ..graph import scopes
from ..graph.builder import emit
from ._expose import Exposer
from .adjoint.inference import DTYPE, RANK, infer

__all__ = ["ObserveRanks", "note"]


class ObserveRanks(ir.passes.InPlacePass):
    """Shows the ranks of values on which inference is silent, which ends at unknown operators.

    It also ends at an If whose branches differ in rank. Bodies of Loop and Scan are left out. It is
    meant for a copy of the model.

    Attributes:
        ranks: Value name to the output that carries its rank, one number; none where it did not
            run.
        types: Value name to the output that is the value itself, where its type is not known.
    """

    def __init__(self) -> None:
        self.ranks: dict[str, str] = {}
        self.types: dict[str, str] = {}

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Adds the outputs."""
        facts = infer(model)
        silent = [
            (scope, value)
            for scope, owners in scopes(model.graph)
            if all(owner.op_type == "If" for owner in owners)
            for node in scope
            for value in node.outputs
            if value.name and value not in facts.dims and facts.is_float(value)
        ]
        expose = Exposer(model)
        for scope, value in silent:
            rank = value
            for _ in range(2):  # the shape of the shape
                name = expose.names(f"{value.name}_rank")
                rank = emit(scope.append, "Shape", [rank], output=name)
            assert value.name is not None
            self.ranks[value.name] = expose(rank, scope, ir.DataType.INT64)
            if facts.dtype(value) is None and scope is model.graph:
                self.types[value.name] = value.name
                if not value.is_graph_output():
                    value.shape = None
                    model.graph.outputs.append(value)
        return ir.passes.PassResult(model, modified=bool(silent))


def note(model: ir.Model, ranks: Mapping[str, int], types: Mapping[str, ir.DataType]) -> None:
    """Notes what was seen on the values of a model, for `adjoint.inference.infer`."""
    for scope, _ in scopes(model.graph):
        for node in scope:
            for value in node.outputs:
                name = value.name or ""
                if name in ranks:
                    value.meta[RANK] = ranks[name]
                if name in types:
                    value.meta[DTYPE] = types[name]
