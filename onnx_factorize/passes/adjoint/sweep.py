"""Reverse accumulation over the nodes of a graph."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import onnx_ir as ir

from onnx_factorize.graph import captured, subgraphs, within
from onnx_factorize.passes.adjoint.emission.emit import Emitter
from onnx_factorize.passes.adjoint.emission.errors import NoRuleError
from onnx_factorize.passes.adjoint.inference import infer
from onnx_factorize.passes.adjoint.registry import RULES, is_zero
from onnx_factorize.passes.adjoint.step import Step


@dataclass(frozen=True)
class Ways:
    """The ways to differentiate a node that need the sweep itself, and so are no rules.

    Each contributes the terms of what the node reads, given the node and its cotangents.

    Attributes:
        by_operator: By domain and operator; they come before rules.
        otherwise: For operators without a rule.
    """

    by_operator: Mapping[tuple[str, str], Way]
    otherwise: Way


class Sweep:
    """The state of one reverse accumulation: cotangent terms, and which values lack some.

    Attributes:
        e: Emits the adjoint's nodes.
        facts: What is certain about primal values.
        needed: The values on a path from a wanted value (forward reachability).
        broken: By value, why its cotangent would be incomplete.
    """

    def __init__(
        self, model: ir.Model, wanted: Iterable[ir.Value], emitter: Emitter, ways: Ways
    ) -> None:
        self.model = model
        self.opset = emitter.opset
        self.e = emitter
        self.facts = infer(model)
        self._ways = ways
        self.wanted = frozenset(wanted)
        self.needed: set[ir.Value] = set(self.wanted)
        self.broken: dict[ir.Value, str] = {}
        self._terms: dict[ir.Value, list[ir.Value]] = {}
        self._settled: dict[ir.Value, ir.Value] = {}
        self._apart: set[ir.Value] = set()
        self._passed: dict[ir.Value, ir.Value] = {}
        self.reach(model.graph)

    def reach(self, nodes: Iterable[ir.Node]) -> None:
        """Extend ``needed`` along nodes in topological order, subgraphs included."""
        for node in nodes:
            if is_zero(node.domain, node.op_type):
                continue
            for graph in subgraphs(node):
                self.reach(graph)
            if self.carries(node):
                self.needed.update(v for v in node.outputs if self.facts.is_float(v))

    def carries(self, node: ir.Node) -> bool:
        """Tell whether a node's outputs may depend on a needed value."""
        read = node.inputs[:1] if node.op_type == "CastLike" else node.inputs  # then a type's
        return any(v in self.needed for v in read) or any(
            v in self.needed
            for graph in subgraphs(node)
            for v in (*graph.outputs, *captured(graph))
        )

    def contribute(self, value: ir.Value, term: ir.Value) -> None:
        """Add a term to a value's cotangent."""
        self._terms.setdefault(value, []).append(term)

    @contextmanager
    def apart(self) -> Iterator[dict[ir.Value, list[ir.Value]]]:
        """Collect terms in a table of their own (a branch's) for the duration of the context."""
        outer, self._terms = self._terms, {}
        try:
            yield self._terms
        finally:
            self._terms = outer
            self._terms.update((value, [total]) for value, total in self._settled.items())
            self._settled = {}

    def settle(self, value: ir.Value, total: ir.Value) -> None:
        """Hand a wanted value's cotangent from a branch to the outer table."""
        self._settled[value] = total

    def breaks(self, value: ir.Value, reason: str) -> None:
        """Mark a value's cotangent as incomplete."""
        self.broken.setdefault(value, reason)

    def gradient(self, value: ir.Value) -> ir.Value | None:
        """Return a value's cotangent once all its terms are there; None if it is zero."""
        terms = self._terms.get(value)
        if not terms:
            return None
        if len(terms) > 1:
            self._terms[value] = terms = [self.e.total(terms)]
        return terms[0]

    def keep_apart(self) -> None:
        """Leave the terms that there are out of what `pass_on` sums."""
        self._apart = {term for terms in self._terms.values() for term in terms}

    def pass_on(self, values: Container[ir.Value]) -> list[ir.Value]:
        """Sum what was contributed to some values so far, each in a node of its own.

        Terms that come later are added to that.

        Args:
            values: Those whose nodes are still to be differentiated.

        Returns:
            The sums; one that was returned before and has grown no further is not among them.
        """
        made = []
        for value, terms in self._terms.items():
            if value not in values or value in self.broken:
                continue
            apart = [term for term in terms if term in self._apart]
            others = [term for term in terms if term not in self._apart]
            if others and others != [self._passed.get(value)]:
                self._passed[value] = self.e.copy(self.e.total(others))
                self._terms[value] = [*apart, self._passed[value]]
                made.append(self._passed[value])
        return made

    def run(self, nodes: Sequence[ir.Node]) -> None:
        """Differentiate nodes in reverse order."""
        for node in reversed(nodes):
            if is_zero(node.domain, node.op_type):
                continue
            reason = next((self.broken[v] for v in node.outputs if v in self.broken), None)
            if reason is not None:
                self._break_inputs(node, reason)
                continue
            cotangents = [self.gradient(v) if v in self.needed else None for v in node.outputs]
            if any(g is not None for g in cotangents):
                self._differentiate(node, cotangents)

    def _break_inputs(self, node: ir.Node, reason: str) -> None:
        for value in node.inputs:
            if value is not None and value in self.needed:
                self.breaks(value, reason)
        for graph in subgraphs(node):
            for value in within(graph):
                if value in self.needed:
                    self.breaks(value, reason)

    def _differentiate(self, node: ir.Node, cotangents: list[ir.Value | None]) -> None:
        step = Step(node, self.e, self.facts, cotangents, self.needed, self.wanted)
        try:
            whole = self._ways.by_operator.get((node.domain, node.op_type))
            function = RULES.find(node.domain, node.op_type, self.opset)
            if whole is None and function is None:
                whole = self._ways.otherwise
            if whole is not None:
                whole(self, node, cotangents)
                return
            assert function is not None
            for index, term in function(step).items():
                value = step.maybe(index)
                if term is not None and value is not None and step.needs(index):
                    self.contribute(value, term)
        except NoRuleError as refusal:
            reason = f"{node.op_type} at node {node.name!r}: {refusal}"
            self._break_inputs(node, reason)


Way = Callable[[Sweep, ir.Node, Sequence[ir.Value | None]], None]
