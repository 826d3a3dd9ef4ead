"""The pass: reverse accumulation over a graph, appended to it as ordinary nodes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import onnx_ir as ir

from onnx_factorize.passes.adjoint import control_flow, facts, functions, scopes
from onnx_factorize.passes.adjoint.emit import Emitter
from onnx_factorize.passes.adjoint.registry import NoRuleError, find, is_zero
from onnx_factorize.passes.adjoint.step import Step


class AppendAdjoint(ir.passes.InPlacePass):
    """Append the cotangents of chosen values, given cotangents of others, to the main graph.

    For seeds (u_j, ū_j) and wanted values v, the appended nodes compute

        v̄ = Σ_j (∂u_j / ∂v)ᵀ ū_j,

    every v̄ with the shape and type of v. Only nodes on a path from a wanted value to a seeded one
    are differentiated. What each operator contributes is a rule (`registry.rule`); an operator
    without one is differentiated through the body of its ONNX function, if it has one.

    A gradient is complete or absent: a wanted value one of whose paths to a seeded value meets an
    operator without a rule has no entry in ``gradients`` but a reason in ``unreachable``, even if
    its other paths could be differentiated. A value without any path of floating-point values
    and nonzero derivatives is reported too.

    Wanted values may lie inside (nested) If branches. Their cotangents are outputs of an If
    in the main graph, and are empty tensors when another branch was taken.

    The pass appends nodes and initializers, and adds outputs to If and LayerNormalization nodes. It
    does not add graph outputs. Existing values keep their identity and names; of declared shapes
    only what inference confirms is kept. ``ir_version`` is raised to 4 where it is lower, because
    initializers are no graph inputs.

    Attributes:
        gradients: The cotangent by wanted value, after the pass ran: always a node's output, which
            several wanted values may share (those of a product and of its sum with a bias).
        unreachable: The reason by wanted value without a gradient.
    """

    def __init__(self, seeds: Mapping[ir.Value, ir.Value], wanted: Sequence[ir.Value]) -> None:
        """Prepare the pass.

        Args:
            seeds: By value, its cotangent: a value of the main graph, of the same shape and type.
            wanted: The values whose cotangents to compute.
        """
        super().__init__()
        self.seeds = dict(seeds)
        self.wanted = tuple(dict.fromkeys(wanted))
        self.gradients: dict[ir.Value, ir.Value] = {}
        self.unreachable: dict[ir.Value, str] = {}

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Append the adjoint to a model's main graph."""
        self.gradients, self.unreachable = {}, {}
        sweep = Sweep(model, self.wanted)
        for value, cotangent in self.seeds.items():
            sweep.contribute(value, cotangent)
        sweep.run(list(model.graph))
        for value in self.wanted:
            if value in sweep.broken:
                self.unreachable[value] = sweep.broken[value]
                continue
            gradient = sweep.gradient(value)
            if gradient is None:
                self.unreachable[value] = "no differentiable path to a seeded output"
            else:
                own = gradient.producer() is not None
                self.gradients[value] = gradient if own else sweep.e.op("Identity", gradient)
        facts.correct(model, sweep.facts)
        self.gradients = scopes.attach(model, sweep.e, self.gradients, sweep.facts)
        for value, gradient in self.gradients.items():
            _describe(gradient, value, sweep.facts)
        model.ir_version = max(model.ir_version, 4)
        return ir.passes.PassResult(model, modified=bool(self.gradients))


class Sweep:
    """The state of one reverse accumulation: cotangent terms, and which values lack some.

    Attributes:
        e: Emits the adjoint's nodes.
        facts: What is certain about primal values.
        needed: The values on a path from a wanted value (forward reachability).
        broken: By value, why its cotangent would be incomplete.
    """

    def __init__(self, model: ir.Model, wanted: Iterable[ir.Value]) -> None:
        self.model = model
        self.opset = model.opset_imports.get("", model.opset_imports.get("ai.onnx", 1))
        self.e = Emitter(self.opset, scopes.free_prefix(model))
        self.facts = facts.infer(model)
        self.wanted = frozenset(wanted)
        self.needed: set[ir.Value] = set(self.wanted)
        self.broken: dict[ir.Value, str] = {}
        self._terms: dict[ir.Value, list[ir.Value]] = {}
        self._settled: dict[ir.Value, ir.Value] = {}
        self.reach(model.graph)

    def reach(self, nodes: Iterable[ir.Node]) -> None:
        """Extend ``needed`` along nodes in topological order, subgraphs included."""
        for node in nodes:
            if is_zero(node.domain, node.op_type):
                continue
            for graph in control_flow.subgraphs(node):
                self.reach(graph)
            if self.carries(node):
                self.needed.update(v for v in node.outputs if self.facts.is_float(v))

    def carries(self, node: ir.Node) -> bool:
        """Tell whether a node's outputs may depend on a needed value."""
        return any(v in self.needed for v in node.inputs) or any(
            v in self.needed
            for graph in control_flow.subgraphs(node)
            for v in (*graph.outputs, *control_flow.captured(graph))
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
        for graph in control_flow.subgraphs(node):
            for value in control_flow.within(graph):
                if value in self.needed:
                    self.breaks(value, reason)

    def _differentiate(self, node: ir.Node, cotangents: list[ir.Value | None]) -> None:
        step = Step(node, self.e, self.facts, cotangents, self.needed, self.wanted)
        try:
            if node.op_type == "If" and not node.domain:
                control_flow.differentiate_if(self, node, cotangents)
                return
            function = find(node.domain, node.op_type, self.opset)
            if function is None:
                functions.differentiate(self, node, cotangents)
                return
            for index, term in function(step).items():
                value = step.maybe(index)
                if term is not None and value is not None and step.needs(index):
                    self.contribute(value, term)
        except NoRuleError as refusal:
            reason = f"{node.op_type} at node {node.name!r}: {refusal}"
            self._break_inputs(node, reason)


def _describe(gradient: ir.Value, primal: ir.Value, known: facts.Facts) -> None:
    """Give a cotangent its primal's type, and what is certain of its shape."""
    dtype = known.dtype(primal)
    if gradient.type is None and dtype is not None:
        gradient.type = ir.TensorType(dtype)
    dims = known.dims.get(primal)
    if gradient.shape is None and dims is not None:
        gradient.shape = ir.Shape([dim if isinstance(dim, int) else None for dim in dims])
