"""Models of the segments of a differentiated graph: forward, and forward with its adjoint."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import onnx_ir as ir

from .partition import Reads

__all__ = ["SegmentModel", "SegmentModels"]

# What a model is allowed to be when its source does not say.
_IR_VERSION = 8


@dataclasses.dataclass(frozen=True)
class SegmentModel:
    """A part of a graph as a model, or none where all that is wanted of it is known already.

    Attributes:
        model: Computes `outputs` from `inputs`; None where there is nothing to compute.
        inputs: Names of what it reads: inputs of the whole graph, and what other segments compute.
        outputs: Names of what it computes.
        known: Names of what is wanted of it besides, and is computed by others.
    """

    model: ir.Model | None
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    known: tuple[str, ...]

    @property
    def wanted(self) -> tuple[str, ...]:
        """Names of all that it is asked for."""
        return self.outputs + self.known


class SegmentModels:
    """The models of all segments.

    The adjoint of a segment computes its values anew from what crosses into it. Only what it needs
    of other segments crosses: which values these are follows from the graph.

    Attributes:
        forward: Of each segment, what later models need of its values, and what is asked for.
        backward: Of each segment, what is asked for of its adjoint, and the cotangents of what
            crossed into it. Of none where there are no gradients.
    """

    def __init__(
        self,
        model: ir.Model,
        segments: Sequence[Sequence[ir.Node]],
        forward: Sequence[Iterable[str]],
        backward: Sequence[Iterable[str]] | None = None,
        cotangents: Mapping[ir.Value, int] | None = None,
    ) -> None:
        """Cuts the models out.

        Args:
            model: The graph with its adjoint; it is not changed, and the models share its weights.
            segments: The nodes of each segment that it was differentiated by.
            forward: Of each segment, names of outputs of the graph that its values give.
            backward: Names of those that its adjoint gives; None where there are no gradients.
            cotangents: What the adjoint of a segment passes on to earlier ones, and which that is.
        """
        self._model, self._cotangents = model, dict(cotangents or {})
        reads = Reads(model.graph)
        self._reads = reads
        self._home = {
            value: index
            for index, nodes in enumerate(segments)
            for node in nodes
            if node.graph is model.graph
            for value in node.outputs
            if value not in reads.constants
        }
        named = {value.name: value for value in model.graph.outputs}
        count = len(segments)
        needed: list[dict[ir.Value, None]] = [
            dict.fromkeys(named[name] for name in wanted) for wanted in forward
        ]
        asked: list[list[ir.Value]] = []
        for index, names in enumerate(backward or ()):
            passed = [v for v, made in self._cotangents.items() if made == index]
            asked.append([*dict.fromkeys(named[name] for name in names), *passed])
        for index, wanted in enumerate(asked):
            self._note(needed, self._frontier(wanted, index))
        for index in reversed(range(count)):
            self._note(needed, self._frontier(needed[index], index))
        self.forward = [self._cut_out(list(needed[index]), index) for index in range(count)]
        self.backward = [self._cut_out(wanted, index) for index, wanted in enumerate(asked)]

    def _note(self, needed: list[dict[ir.Value, None]], crossing: Iterable[ir.Value]) -> None:
        """Notes what segments must compute for others."""
        for value in crossing:
            if value in self._home:
                needed[self._home[value]][value] = None

    def _is_given(self, value: ir.Value, index: int) -> bool:
        """Tells whether a value is computed by another segment, before this one runs."""
        return self._home.get(value, index) < index or self._cotangents.get(value, index) > index

    def _frontier(self, wanted: Iterable[ir.Value], index: int) -> list[ir.Value]:
        """What a segment must be given so that it can compute what is wanted of it."""
        waiting, seen = list(wanted), set[ir.Value]()
        found: list[ir.Value] = []
        while waiting:
            value = waiting.pop()
            if value in seen:
                continue
            seen.add(value)
            producer = value.producer()
            if self._is_given(value, index):
                found.append(value)
            elif producer is not None:
                waiting.extend(self._reads.of(producer))
            elif not value.is_initializer():
                found.append(value)
        return sorted(found, key=lambda value: value.name or "")

    def _cut_out(self, wanted: Sequence[ir.Value], index: int) -> SegmentModel:
        frontier = self._frontier(wanted, index)
        given = set(frontier)
        computed = [value for value in wanted if value not in given]
        known = tuple(value.name or "" for value in wanted if value in given)
        if not computed:
            return SegmentModel(None, (), (), known)
        read = self._frontier(computed, index)
        graph = ir.convenience.extract(self._model.graph, read, computed)
        functions = list(self._model.functions.values())
        version = self._model.ir_version or _IR_VERSION
        return SegmentModel(
            ir.Model(graph, ir_version=version, functions=functions),
            tuple(value.name or "" for value in read),
            tuple(value.name or "" for value in computed),
            known,
        )
