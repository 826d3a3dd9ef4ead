"""Bodies as models of their own, one for all nodes that are alike."""

from __future__ import annotations

import functools

import onnx
import onnx_ir as ir

from onnx_factorize.passes.adjoint.bodies.call import Argument, Call, Signature
from onnx_factorize.passes.adjoint.bodies.registry import BODIES, MICROSOFT
from onnx_factorize.passes.adjoint.emission.emit import Emitter
from onnx_factorize.passes.adjoint.emission.errors import NoRuleError
from onnx_factorize.passes.adjoint.emission.facts import Facts


def has_body(node: ir.Node) -> bool:
    """Tell whether an operator has a body here."""
    return BODIES.find(node.domain, node.op_type, 1) is not None


def build(node: ir.Node, facts: Facts, opset: int) -> ir.Model:
    """Build the body of a node at an opset.

    Returns:
        A model with the inputs `input_0`, `input_1`, …, those that are present, and the outputs
        `output_0`, …, those that the node wants and the body gives; types and shapes are inferred.
        Nodes that are alike share it: it is to be read only.

    Raises:
        NoRuleError: The body does not serve this node.
    """
    attributes = {
        name: tuple(a.value) if isinstance(a.value, list) else a.value
        for name, a in node.attributes.items()
    }
    return _body(
        Signature(
            node.domain,
            node.op_type,
            tuple(sorted(attributes.items())),
            tuple(_argument(facts, value) for value in node.inputs),
            tuple(bool(value.name) for value in node.outputs),
            opset,
        )
    )


@functools.lru_cache(maxsize=256)
def _body(signature: Signature) -> ir.Model:
    function = BODIES.find(signature.domain, signature.op_type, 1)
    assert function is not None
    e = Emitter(signature.opset, "body_")
    call = Call(signature, e)
    outputs = []
    for i, value in enumerate(function(call)):
        if value is not None and call.wants(i):
            own = e.copy(value)
            own.name = f"output_{i}"
            outputs.append(own)
    graph = ir.Graph(
        [value for value in call.arguments if value is not None],
        outputs,
        nodes=e.block.nodes,
        initializers=e.initializers,
        opset_imports={"": signature.opset, MICROSOFT: 1},
        name="body",
    )
    return inferred(ir.Model(graph, ir_version=8))


def inferred(body: ir.Model) -> ir.Model:
    """Return a small model with what onnx infers of its types and shapes."""
    return ir.from_proto(onnx.shape_inference.infer_shapes(ir.to_proto(body), data_prop=True))


def _argument(facts: Facts, value: ir.Value | None) -> Argument | None:
    """Return what is certain of the type and shape of an input."""
    if value is None or not value.name:
        return None
    dtype, dims = facts.dtype(value), facts.dims.get(value)
    if dtype is None:
        raise NoRuleError(f"the type of its input {value.name!r} is unknown")
    if dims is not None:
        dims = tuple(dim if isinstance(dim, int) else None for dim in dims)
    return Argument(dtype, dims)
