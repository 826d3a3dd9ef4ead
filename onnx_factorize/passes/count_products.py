"""Count the multiplications of a model while it runs, from the shapes that occur."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from ..graph import Namer, opset, scopes, subgraphs
from ..graph.builder import emit
from ._bodies import ITERATED
from ._expose import Exposer
from .find_targets import FindTargets
from .linear.multiplications import Lengths, Term
from .multiplications import multiplications

__all__ = ["CountProducts"]

_SLICE_INPUTS_SINCE = 10
_END = 2**31 - 1


class CountProducts(ir.passes.InPlacePass):
    """Appends to the outputs of the main graph what the multiplications of each operator are.

    - Of the main graph and of branches of If, the shapes that make them: an output for each value.
    - In bodies of Loop and Scan shapes may change from one iteration to the next: the body counts,
      and the iterations are added up.

    Attributes:
        shapes: Value to the output that carries its shape; of length 0 where it was not computed.
        operands: The first operand of each operator outside of loops, by its name.
        terms: For each operator outside of loops, in graph order, its name (as targets are named)
            and its terms.
        sums: For each operator in loops, its name and the outputs to be added up.
        left: Names of operators that cannot be counted.
    """

    def __init__(self, *, loops: bool = True) -> None:
        """Initializes the pass.

        Args:
            loops: Whether to count in bodies of Loop and Scan, too.
        """
        self._loops = loops
        self.shapes: dict[ir.Value, str] = {}
        self.operands: dict[str, ir.Value] = {}
        self.terms: list[tuple[str, tuple[Term, ...]]] = []
        self.sums: list[tuple[str, list[str]]] = []
        self.left: list[str] = []

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Adds the outputs."""
        finder = FindTargets()
        finder(model)
        found = [
            (node, terms, owners, scope)
            for scope, owners in list(scopes(model.graph))
            for node in list(scope)
            if (terms := multiplications(node)) is not None
        ]
        self._expose = Exposer(model)
        self._repeated = _Repeated(model)
        for node, terms, owners, scope in found:
            name = finder.names.get(node) or node.name or f"{node.op_type}_{node.outputs[0].name}"
            kinds = {(owner.domain, owner.op_type) for owner in owners}
            if kinds <= {("", "If")}:
                self.terms.append((name, terms))
                operand = node.inputs[0]
                if operand is not None:
                    self.operands[name] = operand
                    self._shape(operand, scope)
                for length in (length for term in terms for length in term):
                    self._shape(length.value, scope)
            elif self._loops and all(map(_countable, owners)):
                self.sums.append((name, [self._repeated(t, scope, owners) for t in terms]))
            else:
                self.left.append(name)
        return ir.passes.PassResult(model, modified=bool(found))

    def _shape(self, value: ir.Value, scope: ir.Graph) -> None:
        if value not in self.shapes:
            home = value.graph if isinstance(value.graph, ir.Graph) else scope
            name = self._expose.names(f"{value.name}_shape")
            shape = emit(home.append, "Shape", [value], output=name)
            self.shapes[value] = self._expose(shape, home, ir.DataType.INT64)


def _countable(owner: ir.Node) -> bool:
    """Tells whether a body's counts can leave it; a Scan of opset 8 has outputs of another kind."""
    if owner.domain != "" or owner.op_type not in ("If", *ITERATED):
        return False
    return owner.op_type != "Scan" or "num_scan_inputs" in owner.attributes


class _Repeated:
    """Counts a term in the body that computes it, and adds up what its iterations count."""

    def __init__(self, model: ir.Model) -> None:
        self._expose = Exposer(model)
        self._names: Namer = self._expose.names
        self._slices = opset(model) >= _SLICE_INPUTS_SINCE

    def __call__(self, term: Term, scope: ir.Graph, owners: Sequence[ir.Node]) -> str:
        """Returns the name of the output that has the sum, shape (1,)."""
        count = self._product(scope, [self._lengths(scope, each) for each in term])
        for owner in reversed(owners):
            outer = owner.graph
            assert isinstance(outer, ir.Graph)
            count = self._leave(count, scope, owner, outer)
            scope = outer
        _as_output(count, scope)
        assert count.name is not None
        return count.name

    def _lengths(self, scope: ir.Graph, lengths: Lengths) -> ir.Value:
        shape = self._append(scope, "Shape", [lengths.value])
        start, stop = lengths.start, _END if lengths.stop is None else lengths.stop
        if (start, stop) == (0, _END):
            return shape
        if not self._slices:
            return self._append(scope, "Slice", [shape], starts=[start], ends=[stop])
        bounds = [self._expose.integers([start]), self._expose.integers([stop])]
        return self._append(scope, "Slice", [shape, *bounds])

    def _product(self, scope: ir.Graph, lengths: Sequence[ir.Value]) -> ir.Value:
        """The product of all lengths; a one stands before them, so that there is something."""
        whole = [self._expose.integers([1]), *lengths]
        return self._append(
            scope, "ReduceProd", [self._append(scope, "Concat", whole, axis=0)], keepdims=1
        )

    def _leave(self, count: ir.Value, scope: ir.Graph, owner: ir.Node, outer: ir.Graph) -> ir.Value:
        """The count, as the graph around sees it."""
        _as_output(count, scope)
        if owner.op_type == "If":
            for branch in subgraphs(owner):
                if branch is not scope:
                    nothing = ir.tensor([0], dtype=ir.DataType.INT64)
                    _as_output(self._append(branch, "Constant", [], value=nothing), branch)
            return self._new_output(owner)
        for name in ("scan_output_axes", "scan_output_directions"):
            if name in owner.attributes:
                values = [*owner.attributes[name].as_ints(), 0]
                owner.attributes[name] = ir.AttrInt64s(name, values)
        whole = self._append(outer, "ReduceSum", [self._new_output(owner)], keepdims=0)
        return self._append(outer, "Reshape", [whole, self._expose.integers([1])])

    def _new_output(self, owner: ir.Node) -> ir.Value:
        owner.resize_outputs(len(owner.outputs) + 1)
        made = owner.outputs[-1]
        made.name = self._names("multiplications")
        made.type = ir.TensorType(ir.DataType.INT64)
        return made

    def _append(
        self,
        scope: ir.Graph,
        op_type: str,
        inputs: Sequence[ir.Value],
        **attributes: int | Sequence[int] | ir.TensorProtocol,
    ) -> ir.Value:
        name = self._names("multiplications")
        integers = ir.DataType.INT64
        return emit(scope.append, op_type, inputs, attributes, output=name, dtype=integers)


def _as_output(value: ir.Value, scope: ir.Graph) -> None:
    value.type, value.shape = ir.TensorType(ir.DataType.INT64), None
    scope.outputs.append(value)
