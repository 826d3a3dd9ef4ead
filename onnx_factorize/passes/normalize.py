"""Bring linear operators into few shapes: plain operators that read initializers directly."""

from __future__ import annotations

from collections.abc import Collection

import onnx_ir as ir

from ..graph import Namer, constant, register, scopes
from ._names import linear_names
from .clean_up import CleanUp
from .fold_weights import fold_weights
from .inline_functions import InlineLinearFunctions
from .linear.marks import SharedWeight, is_helper, mark, mark_stored, rest_of
from .linear.provenance import origin_name
from .linear.registry import spec_of
from .linear.sharing import asked_once
from .linear.site import Site
from .linear.weight_inputs import weight_inputs
from .linear.weights import Origin, origin_of
from .unpack_projections import UnpackProjections
from .variants import variant_of

__all__ = ["LiftWeights"]


class LiftWeights(ir.passes.InPlacePass):
    """Makes every linear operator with a constant weight a MatMul, Gemm or Conv that reads it.

    - Linear operators get the names that reports give them.
    - Calls of model-local functions that hold linear operators are inlined.
    - The product that gives an attention its queries, keys and values becomes three: see
      `UnpackProjections`.
    - A weight, or a bias, that is a Constant node becomes an initializer.
    - What other operators (Concat, Slice, Split …) compute a weight from is stored as one constant,
      for those that are treated: see `fold_weights`.
    - A weight behind Identity, Transpose, Reshape, Flatten, Squeeze, Unsqueeze or Cast becomes the
      initializer that the operator sees; nothing is computed before its contents are read.
    - A weight that several operators read becomes an initializer for each (see `ShareFactors`).
    - Variants (products with the constant on the left or with stacks of matrices, Einsum,
      ConvTranspose, onnxruntime's fused operators) become plain operators: see `variants`.

    Operators that lose their last reader go. What cannot be treated stays as it is, with a reason
    that `FindTargets` gives.
    """

    def __init__(self, only: Collection[str] | None = None) -> None:
        """Initializes the pass.

        Args:
            only: Treat just the operators of these names, and leave variants that are rewritten
                as they stand: what a result needs. By default all, as calibration needs.
        """
        self._only = only

    @asked_once
    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Runs the pass on the main graph and every subgraph."""
        self._model = model
        modified = self._name(model)
        unpack = UnpackProjections(self._only)
        modified |= unpack(model).modified
        if self._only is None or not set(self._only) <= _names_outside_functions(model):
            modified |= InlineLinearFunctions()(model).modified
            modified |= self._name(model)
            modified |= unpack(model).modified
        every = [node for scope, _ in scopes(model.graph) for node in scope]
        modified |= fold_weights(model, [node for node in every if self._wanted(node)])
        self._names = Namer(model)
        self._lifted: dict[ir.Value, ir.Value] = {}
        self._shared: set[ir.Value] = set()
        for scope, _ in list(scopes(model.graph)):
            for node in list(scope):
                if self._wanted(node):
                    modified |= self._treat(node, scope)
        return ir.passes.PassResult(model, modified=modified)

    def _name(self, model: ir.Model) -> bool:
        modified = False
        for node, name in linear_names(model).items():
            if node.name != name and (self._only is None or name in self._only):
                node.name = name
                modified = True
        return modified

    def _wanted(self, node: ir.Node) -> bool:
        linear = spec_of(node) is not None and not is_helper(node)
        if not linear or rest_of(node) is not None or origin_name(node) is not None:
            return False
        return self._only is None or node.name in self._only

    def _treat(self, node: ir.Node, scope: ir.Graph) -> bool:
        modified = False
        for index in weight_inputs(node):
            origin = origin_of(self._model, node.inputs[index])
            if isinstance(origin, Origin) and (
                origin.chain
                or origin.shared
                or origin.root in self._shared
                or origin.root.producer() is not None
            ):
                self._lift_weight(node, index, origin, scope)
                modified = True
        readers = node.outputs[0].consumers()
        adds = [r for r in readers if r.op_type == "Add" and r.domain == "" and r.graph is scope]
        for each in (node, *adds):
            modified |= self._lift_constants(each, scope)
        variant = variant_of(self._model, node)
        if variant is None or isinstance(variant, str):
            return modified
        if self._only is None or variant.split:
            assert node.name is not None
            variant.canonicalize(Site(self._model, self._names, node, node.name))
            modified = True
        return modified

    def _lift_weight(self, node: ir.Node, index: int, origin: Origin, scope: ir.Graph) -> None:
        """Makes an operand the initializer that it stands for, which no other operator reads.

        Operators that share a constant get an initializer each, with its contents and a mark.
        """
        root, tensor = origin.root, origin.read()
        operand = node.inputs[index]
        assert operand is not None
        shared = origin.shared or root in self._shared
        own = root.producer() is None and not shared
        if shared:
            tensor = _view(tensor)
        lifted = root if own else self._made_of(root, tensor, scope)
        if shared:
            self._shared.add(root)
            turned = sum(n.op_type == "Transpose" for n in origin.chain) % 2 == 1
            mark(lifted, SharedWeight(root.name or "", turned))
        if tensor.dtype.itemsize > origin.tensor.dtype.itemsize:
            mark_stored(lifted, origin.tensor.dtype)
        lifted.const_value = tensor
        lifted.shape = ir.Shape(tensor.shape.numpy())
        lifted.type = ir.TensorType(tensor.dtype)
        node.replace_input_with(index, lifted)
        _remove_unread(operand)
        if shared and not root.uses():
            CleanUp(only=[root])(self._model)

    def _lift_constants(self, node: ir.Node, scope: ir.Graph) -> bool:
        """Makes biases initializers where they are Constant nodes or behind Identity."""
        modified = False
        weights = weight_inputs(node)
        for index, value in enumerate(node.inputs):
            if value is None or index in weights or value.producer() is None:
                continue
            tensor = constant(value)
            if tensor is None:
                continue
            source = _source(value)
            if source.producer() is None:
                lifted = source
            else:
                if source not in self._lifted:
                    self._lifted[source] = self._made_of(source, tensor, scope)
                lifted = self._lifted[source]
            node.replace_input_with(index, lifted)
            _remove_unread(value)
            modified = True
        return modified

    def _made_of(self, source: ir.Value, tensor: ir.TensorProtocol, scope: ir.Graph) -> ir.Value:
        """A new initializer with the contents of a Constant, in the graph that holds that."""
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
        return lifted


def _names_outside_functions(model: ir.Model) -> set[str | None]:
    return {node.name for scope, _ in scopes(model.graph) for node in scope}


def _view(tensor: ir.TensorProtocol) -> ir.TensorProtocol:
    """The same contents under a name of their own: a value gives its tensor its name."""
    return ir.LazyTensor(lambda: tensor, dtype=tensor.dtype, shape=tensor.shape)  # type: ignore[arg-type]


def _source(value: ir.Value) -> ir.Value:
    """The value at the start of a chain of Identity nodes."""
    node = value.producer()
    while node is not None and node.op_type == "Identity":
        assert node.inputs[0] is not None
        value = node.inputs[0]
        node = value.producer()
    return value


def _remove_unread(value: ir.Value) -> None:
    """Removes the operators behind a constant value that nothing reads any more."""
    node = value.producer()
    if node is None or value.uses() or value.is_graph_output():
        return
    upstream = [each for each in node.inputs if each is not None]
    assert node.graph is not None
    node.graph.remove(node, safe=True)
    for each in upstream:
        _remove_unread(each)
