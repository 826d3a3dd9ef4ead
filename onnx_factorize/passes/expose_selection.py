"""Show what enters a selection, for outputs that are what was selected."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import onnx_ir as ir

from ..graph import scopes, subgraphs
from .adjoint import inference
from .linear.registry import spec_of
from .linear.weight_inputs import is_linear

__all__ = ["ExposeSelection", "selects", "upstream"]

# Operators that choose places by numbers, and the inputs that hold these.
_SELECTIONS = {
    "ArgMax": (0,),
    "ArgMin": (0,),
    "NonMaxSuppression": (0, 1),
    "NonZero": (0,),
    "TopK": (0,),
}

# Operators that take what is at chosen places of their first input.
_GATHERING = {"Compress", "Gather", "GatherElements", "GatherND", "Slice"}

_CONTROL_FLOW = {"If", "Loop", "Scan"}


def selects(model: ir.Model) -> bool:
    """Tells whether a model has operators that choose places."""
    return any(node.op_type in _SELECTIONS for each, _ in scopes(model.graph) for node in each)


class ExposeSelection(ir.passes.InPlacePass):
    """Adds to the outputs of the main graph the real numbers that enter a selection.

    What NonMaxSuppression, TopK, NonZero, ArgMax and ArgMin choose has another size or order in
    every model, and no gradient. An output is behind a selection if one of them is met on the way
    back from it before any operator with weights, or a NonMaxSuppression before or after; then its
    place is taken by

    - what enters the selection: boxes and scores, the values that TopK sorts, the numbers that are
      compared before NonZero;
    - what is picked at the chosen places (Gather, Slice, Compress), unless it follows from the
      former without weights.

    What enters one selection and comes from another is not comparable either: what enters that
    other one stands for it; so does, where weights lie between them, what enters a
    NonMaxSuppression (the proposals of a detector in two stages). Numbers that are graph inputs, or
    integers, do not count. Added outputs keep the names of their values. Nothing stands for outputs
    that are ignored.

    Attributes:
        entering: Name of each output that takes the place of others, in the order of the graph.
        behind: Name of each output behind a selection to that, as `TopK 'name'`.
    """

    def __init__(self, ignored: Iterable[str] = ()) -> None:
        """Takes the names of outputs that are ignored."""
        self._ignored = frozenset(ignored)
        self.entering: list[str] = []
        self.behind: dict[str, str] = {}

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Runs the pass."""
        graph = model.graph
        if not selects(model):
            return ir.passes.PassResult(model, modified=False)
        self._facts = inference.infer(model)
        self._known: dict[ir.Value, bool] = {}
        found: dict[ir.Value, None] = {}
        for output in list(graph.outputs):
            if output.name in self._ignored:
                continue
            starts = self._earlier(output)
            entered = dict.fromkeys(self._entering(starts))
            if entered:
                selections = [n for v in starts for n in _selections(v, self._selects)]
                self.behind[output.name or ""] = _said(selections[-1])
                found |= entered
        chosen = [v for v in found if not self._follows(v, found.keys() - {v}, {})]
        places = {value: place for place, node in enumerate(graph) for value in node.outputs}
        chosen.sort(key=lambda value: places[value])
        self.entering = [value.name or "" for value in chosen]
        added = [value for value in chosen if not value.is_graph_output()]
        for value in added:
            self._describe(value)
        graph.outputs.extend(added)
        return ir.passes.PassResult(model, modified=bool(added))

    def _selects(self, node: ir.Node) -> bool:
        """Tells whether a node chooses places by real numbers that the model computes."""
        return bool(list(self._read(node)))

    def _read(self, node: ir.Node) -> Iterator[ir.Value]:
        """The real numbers by which a node chooses places; none if it chooses none."""
        if node.op_type in _CONTROL_FLOW:
            inner = (each for graph in subgraphs(node) for each, _ in scopes(graph))
            if any(n.op_type in ("NonMaxSuppression", "TopK") for each in inner for n in each):
                yield from (value for value in _inputs(node) if self._computed(value))
        elif node.domain == "":
            for index in _SELECTIONS.get(node.op_type, ()):
                value = node.inputs[index]
                if value is not None:
                    yield from self._numbers(value)

    def _numbers(self, value: ir.Value, steps: int = 32) -> Iterator[ir.Value]:
        """A value of real numbers, or those by which its booleans were made."""
        node = value.producer()
        if self._computed(value):
            yield value
        elif node is not None and steps and not self._facts.is_float(value):
            for each in node.inputs:
                if each is not None:
                    yield from self._numbers(each, steps - 1)

    def _computed(self, value: ir.Value) -> bool:
        """Tells whether a value of the main graph holds real numbers that depend on weights."""
        if value not in self._known:
            node = value.producer()
            self._known[value] = False  # on a cycle, which there is none of
            self._known[value] = (
                node is not None
                and self._facts.is_float(value)
                and not self._facts.is_constant(value)
                and any(is_linear(each) or any(subgraphs(each)) for each in _before(value))
            )
        return self._known[value]

    def _entering(self, values: Iterable[ir.Value]) -> Iterator[ir.Value]:
        """Yields what enters the selections behind some values, the first of each chain of them."""
        stack, seen = list(values), set()
        while stack:
            value = stack.pop()
            node = value.producer()
            if node is None or value in seen or _stops(node):
                continue
            seen.add(value)
            entering = dict.fromkeys(self._read(node))
            if node.op_type in _GATHERING and node.inputs[0] is not None:
                picked = [v for v in node.inputs[1:] if v is not None]
                if any(True for v in picked for _ in _selections(v, self._selects)):
                    entering |= dict.fromkeys(self._numbers(node.inputs[0]))
            for each in entering:
                earlier = self._earlier(each)
                if earlier:
                    stack.extend(earlier)
                else:
                    yield each
            stack.extend(v for v in _inputs(node) if v not in entering)

    def _earlier(self, value: ir.Value) -> list[ir.Value]:
        """The selections that a value comes from, as their outputs."""
        near = list(_selections(value, self._selects))
        if near:
            return [value]
        proposals = (n for n in _before(value) if n.op_type == "NonMaxSuppression")
        return [node.outputs[0] for node in proposals if self._selects(node)]

    def _follows(
        self, value: ir.Value, known: Iterable[ir.Value], memo: dict[ir.Value, bool]
    ) -> bool:
        """Tells whether a value is computed from known ones, without weights between."""
        if value in memo:
            return memo[value]
        node = value.producer()
        if node is None or value in known:
            return True
        memo[value] = False
        memo[value] = (
            not _stops(node)
            and not any(subgraphs(node))
            and all(self._follows(v, known, memo) for v in node.inputs if v is not None)
        )
        return memo[value]

    def _describe(self, value: ir.Value) -> None:
        """Declares of an output what is certain."""
        dims = self._facts.dims.get(value)
        value.type = ir.TensorType(self._facts.dtype(value) or ir.DataType.FLOAT)
        known = None if dims is None else [d if isinstance(d, int) else None for d in dims]
        value.shape = None if known is None else ir.Shape(known)


def _selections(value: ir.Value, selects: Callable[[ir.Node], bool]) -> Iterator[ir.Node]:
    """The selections on the way back from a value to operators with weights."""
    stack, seen = [value], set()
    while stack:
        node = stack.pop().producer()
        if node is None or node in seen or _stops(node):
            continue
        seen.add(node)
        if selects(node):
            yield node
        stack.extend(_inputs(node))


def upstream(model: ir.Model, names: Iterable[str]) -> set[ir.Node]:
    """The nodes of the main graph, and in their subgraphs, that some of its values depend on."""
    wanted = set(names)
    values = [v for node in model.graph for v in node.outputs if v.name in wanted]
    nodes = {node for value in values for node in _before(value)}
    for node in list(nodes):
        nodes.update(each for g in subgraphs(node) for scope, _ in scopes(g) for each in scope)
    return nodes


def _inputs(node: ir.Node) -> list[ir.Value]:
    """The values of the main graph that a node of it reads, in its subgraphs too."""
    read = [value for value in node.inputs if value is not None]
    for graph in subgraphs(node):
        within = (each for scope, _ in scopes(graph) for each in scope)
        read += [v for each in within for v in each.inputs if v and v.graph is node.graph]
        read += [v for v in graph.outputs if v.graph is node.graph]
    return list(dict.fromkeys(read))


def _before(value: ir.Value) -> Iterator[ir.Node]:
    """Every node that a value depends on."""
    stack, seen = [value], set()
    while stack:
        node = stack.pop().producer()
        if node is None or node in seen:
            continue
        seen.add(node)
        yield node
        stack.extend(_inputs(node))


def _stops(node: ir.Node) -> bool:
    """Tells whether a node has weights, so that what comes of it is something else."""
    spec = spec_of(node)
    return is_linear(node) and not (spec is not None and spec.picks_rows)


def _said(node: ir.Node) -> str:
    return f"{node.op_type} '{node.name or node.outputs[0].name}'"
