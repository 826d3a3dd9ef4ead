"""Weights that other operators compute from constants: what they compute is stored instead."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np
import onnx.reference
import onnx_ir as ir

from ..arrays import AnyArray
from ..foreign import attempt
from ..graph import Namer, add_initializer, constant, opset, scopes, subgraphs
from .clean_up import CleanUp
from .linear.registry import spec_of
from .linear.weights import DEQUANTIZERS, MOVES, replaceable

__all__ = ["fold_weights"]

_STANDARD = ("", "ai.onnx")

# What operators that share a weight may have between it and them.
_SHARED_THROUGH = ("Identity", "Transpose")

# Elements up to which constants are compared by their contents, as axes and bounds are.
_SMALL = 64

# What an expression is: equal ones are computed, and stored, once.
_Key = Hashable


def fold_weights(model: ir.Model, nodes: Sequence[ir.Node]) -> bool:
    """Makes the weights of some operators initializers where others compute them from constants.

    - Where anything but moves and conversions, which are read through as they stand, is among the
      operators behind a weight (Concat, Slice, Split, Add …), they are replaced by what they give.
    - Equal expressions become one initializer, which their readers share.
    - What is then read by nobody goes. A constant of which something else is still computed is
      folded away as well where that takes no more room than the constant; else it stays.

    Args:
        model: The model; it is changed in place.
        nodes: The operators, in any graph of it.

    Returns:
        Whether anything was changed.
    """
    return _Folding(model).run(nodes)


class _Folding:
    """One run over a model."""

    def __init__(self, model: ir.Model) -> None:
        self._model = model
        self._names = Namer(model)
        self._made: dict[_Key, ir.Value] = {}
        self._keys: dict[ir.Value, _Key] = {}
        self._fixed: set[ir.Value] = set()
        for scope, _ in scopes(model.graph):
            for node in scope:
                if self._is_fixed(node):
                    self._fixed.update(node.outputs)

    def run(self, nodes: Iterable[ir.Node]) -> bool:
        roots: dict[ir.Value, None] = {}
        for node in nodes:
            if not set(node.outputs) & self._fixed:
                spec = spec_of(node)
                assert spec is not None
                # Weights that cannot be cut stay as they are computed.
                for index in spec.weights:
                    computed = self._computed(node.inputs[index : index + 1])
                    if computed is not None:
                        roots |= dict.fromkeys(self._roots(computed))
                        self._fold(computed)
        self._settle(roots)
        return bool(roots)

    def _is_fixed(self, node: ir.Node) -> bool:
        """Tells whether a node computes from constants alone what can be stored."""
        if node.domain not in _STANDARD or node.op_type.startswith(("Random", "Constant")):
            return False
        if node.op_type in DEQUANTIZERS or any(True for _ in subgraphs(node)):
            return False
        present = [value for value in node.inputs if value is not None]
        return bool(present) and all(v in self._fixed or self._is_leaf(v) for v in present)

    def _is_leaf(self, value: ir.Value) -> bool:
        node = value.producer()
        if node is None:
            return value.is_initializer() and not replaceable(self._model, value)
        return node.op_type == "Constant" and constant(value) is not None

    def _computed(self, operand: Sequence[ir.Value | None]) -> ir.Value | None:
        """The value to store for a weight: None where it is a constant, or computed from data."""
        value, stored = operand[0] if operand else None, None
        while value is not None and value in self._fixed:
            node = value.producer()
            assert node is not None
            if stored is None and node.op_type not in _SHARED_THROUGH:
                stored = value
            if node.op_type not in MOVES or not all(map(_is_known, node.inputs[1:])):
                return None if stored is None or stored.is_graph_output() else stored
            value = node.inputs[0]
        return None

    def _fold(self, value: ir.Value) -> None:
        """Stores a value, unless an equal one is: its readers read that."""
        key = self._key(value)
        if key not in self._made:
            array = self._contents(value)
            if array is None:
                return
            name = self._names(f"{value.name}_value")
            dtype = ir.DataType.from_numpy(array.dtype)
            graph = self._model.graph
            self._made[key] = add_initializer(self._model, graph, name, array, dtype)
        ir.convenience.replace_all_uses_with(value, self._made[key])
        self._drop(value)

    def _drop(self, value: ir.Value) -> None:
        """Removes the operators behind a value that nobody reads any more."""
        node = value.producer()
        if node is None or any(v.uses() or v.is_graph_output() for v in node.outputs):
            return
        upstream = [each for each in node.inputs if each is not None]
        assert node.graph is not None
        node.graph.remove(node, safe=True)
        self._fixed.difference_update(node.outputs)
        for each in upstream:
            self._drop(each)

    def _settle(self, roots: Iterable[ir.Value]) -> None:
        """Removes constants that are read no more, or whose other readers need no more room."""
        for root in roots:
            left = self._ends(root)
            sizes = [array.size for array in map(self._contents, left) if array is not None]
            if left and len(sizes) == len(left) and sum(sizes) <= _size(root):
                for value in left:
                    self._fold(value)
        CleanUp(only=list(roots))(self._model)

    def _ends(self, root: ir.Value) -> list[ir.Value]:
        """The values computed from a constant that something reads that is not constant itself.

        Empty where the constant is read itself.
        """
        found: dict[ir.Value, None] = {}
        stack = [root]
        while stack:
            value = stack.pop()
            if value.is_graph_output():
                return []
            readers = [use.node for use in value.uses()]
            if any(not set(reader.outputs) & self._fixed for reader in readers):
                if value is root:
                    return []
                found[value] = None
            for reader in readers:
                stack.extend(output for output in reader.outputs if output in self._fixed)
        return list(found)

    def _roots(self, value: ir.Value) -> list[ir.Value]:
        """The initializers that a value is computed from."""
        found, seen, stack = [], {value}, [value]
        while stack:
            each = stack.pop()
            node = each.producer()
            if node is None:
                found.append(each)
                continue
            new = {v for v in node.inputs if v is not None} - seen
            seen |= new
            stack.extend(new)
        return found

    def _key(self, value: ir.Value) -> _Key:
        if value not in self._keys:
            self._keys[value] = self._expression(value)
        return self._keys[value]

    def _expression(self, value: ir.Value) -> _Key:
        node = value.producer()
        if node is None or node.op_type == "Constant":
            tensor = constant(value)
            if tensor is not None and _size(value) <= _SMALL:
                return (tensor.dtype, tuple(tensor.shape), tensor.tobytes())
            return value
        attributes = tuple(sorted((name, str(a.value)) for name, a in node.attributes.items()))
        inputs = tuple(None if v is None else self._key(v) for v in node.inputs)
        return (node.op_type, attributes, inputs, node.outputs.index(value), len(node.outputs))

    def _contents(self, value: ir.Value) -> AnyArray | None:
        """The contents of a value; None where onnx's reference has no such operator."""
        known: dict[ir.Value, AnyArray] = {}
        stack = [value]
        while stack:
            each = stack[-1]
            node = each.producer()
            tensor = constant(each) if node is None or node.op_type == "Constant" else None
            if tensor is not None:
                known[each] = tensor.numpy()
            elif node is not None:
                missing = [v for v in node.inputs if v is not None and v not in known]
                if missing:
                    stack += missing
                    continue
                if not self._evaluate(node, known):
                    return None
            stack.pop()
        return known[value]

    def _evaluate(self, node: ir.Node, known: dict[ir.Value, AnyArray]) -> bool:
        feeds = {str(v.name): known[v] for v in node.inputs if v is not None}
        opsets = {"": opset(self._model)}

        def run() -> Sequence[Any]:
            evaluator = onnx.reference.ReferenceEvaluator(ir.to_proto(node), opsets=opsets)
            return list(evaluator.run(None, feeds))

        made = attempt(run)  # it lacks operators, and raises what it likes on odd inputs
        if made is None:
            return False
        known.update(zip(node.outputs, map(np.asarray, made), strict=True))
        return True


def _is_known(value: ir.Value | None) -> bool:
    return value is None or constant(value) is not None


def _size(value: ir.Value) -> int:
    tensor = constant(value)
    return 0 if tensor is None else math.prod(tensor.shape.numpy())
