"""Bring weights into one shape: initializers, read directly by the nodes that use them."""

from __future__ import annotations

import onnx_ir as ir

from ._graph import Namer, constant, register, scopes

__all__ = ["LiftWeights"]

_LINEAR = {"MatMul", "Gemm", "Conv"}


class LiftWeights(ir.passes.InPlacePass):
    """Makes the constant operands of linear operators initializers of the graph that holds them.

    For every MatMul, Gemm and Conv, and for every Add that reads one of them:

    - an operand that is a Constant node becomes an initializer;
    - an operand behind one or more Identity nodes is read directly.

    Constant and Identity nodes that lose their last reader go; all others stay as they are, so
    that nothing changes in a graph beyond its linear operators. Subgraphs are treated like the
    main graph; model-local functions cannot hold initializers and are left alone.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Runs the pass on the main graph and every subgraph."""
        self._model = model
        self._names = Namer(model)
        self._lifted: dict[ir.Value, ir.Value] = {}
        modified = False
        for scope, _ in list(scopes(model.graph)):
            for node in list(scope):
                if node.domain == "" and (node.op_type in _LINEAR or _adds_to_linear(node)):
                    modified |= self._lift_operands(node, scope)
        return ir.passes.PassResult(model, modified=modified)

    def _lift_operands(self, node: ir.Node, scope: ir.Graph) -> bool:
        modified = False
        for index, value in enumerate(node.inputs):
            if value is None or value.producer() is None or constant(value) is None:
                continue
            node.replace_input_with(index, self._initializer(value, scope))
            _remove_unread(value)
            modified = True
        return modified

    def _initializer(self, value: ir.Value, scope: ir.Graph) -> ir.Value:
        """The initializer that a constant value stands for, made where there is none yet."""
        source = _source(value)
        if source.producer() is None:
            return source
        if source not in self._lifted:
            tensor = constant(source)
            assert tensor is not None
            home = source.graph if isinstance(source.graph, ir.Graph) else scope
            lifted = ir.Value(
                name=self._names(f"{source.name}_value"),
                shape=ir.Shape(tensor.shape.numpy()),
                type=ir.TensorType(tensor.dtype),
                const_value=tensor,
                doc_string=source.doc_string,
            )
            lifted.metadata_props.update(source.metadata_props)
            register(self._model, home, lifted)
            self._lifted[source] = lifted
        return self._lifted[source]


def _adds_to_linear(node: ir.Node) -> bool:
    """Whether a node adds something to the output of a linear operator (a bias, perhaps)."""
    if node.op_type != "Add":
        return False
    producers = (value.producer() for value in node.inputs if value is not None)
    return any(p is not None and p.domain == "" and p.op_type in _LINEAR for p in producers)


def _source(value: ir.Value) -> ir.Value:
    """The value at the start of a chain of Identity nodes."""
    node = value.producer()
    while node is not None and node.op_type == "Identity":
        assert node.inputs[0] is not None
        value = node.inputs[0]
        node = value.producer()
    return value


def _remove_unread(value: ir.Value) -> None:
    """Removes the Constant or Identity behind a value that nothing reads any more."""
    node = value.producer()
    if node is None or value.uses() or value.is_graph_output():
        return
    upstream = node.inputs[0] if node.op_type == "Identity" else None
    assert node.graph is not None
    node.graph.remove(node, safe=True)
    if upstream is not None:
        _remove_unread(upstream)
