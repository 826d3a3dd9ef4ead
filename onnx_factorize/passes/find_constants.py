"""Find the nodes that hold large constants and are no linear operators that the tables know."""

from __future__ import annotations

import math
from collections.abc import Iterator

import onnx_ir as ir

from ..graph import constant, scopes
from .find_targets import FindTargets
from .linear.marks import is_helper, source_of
from .linear.operator_spec import MICROSOFT
from .linear.target import Skipped

__all__ = ["FindConstants"]

# A constant is large from so many elements on, or from this share of the model's (but not below
# the least); what has one axis only, as biases and scales have, from a larger share.
_MANY = 1024
_LEAST = 64
_SHARE = 1e-3
_SHARE_OF_ROWS = 1e-2

_STANDARD = ("", "ai.onnx")
_RUNTIME = (MICROSOFT, "com.ms.")
# Of onnxruntime's operators those that hold tables of angles, scales and biases, but no matrix.
_WITHOUT_MATRIX = frozenset(
    [
        "BiasGelu",
        "GroupQueryAttention",
        "MultiHeadAttention",
        "RotaryEmbedding",
        "SkipLayerNormalization",
        "SkipSimplifiedLayerNormalization",
    ]
)


class FindConstants(ir.passes.InPlacePass):
    """Lists every other node with a large constant, in all graphs; the model is only read.

    - Nodes of onnxruntime's domains, as its optimizer makes them, and of domains of others are
      *counted*: they may well multiply by what they hold, and a budget of targets must know.
    - Standard operators add, look up or compare: they are listed and not counted; so are those of
      onnxruntime's that hold no matrix.

    A constant that several nodes read is listed with the first of them, and behind operators that
    are computed from constants alone with what reads the result.

    Attributes:
        skipped: The nodes, with the reason why they are no targets.
    """

    def __init__(self, finder: FindTargets) -> None:
        """Initializes the pass.

        Args:
            finder: What was found in the same model; it has the constants that are listed already.
        """
        self._finder = finder
        self.skipped: list[Skipped] = []

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Fills `skipped`."""
        self._seen: set[ir.Value | str] = set(self._finder.listed)
        self._taken = set(self._finder.names.values())
        self._fixed: set[ir.Value] = set()
        graphs = [scope for scope, _ in scopes(model.graph)]
        for function in model.functions.values():
            graphs += [scope for scope, _ in scopes(function.graph)]
        self._total = sum(_size(value) for graph in graphs for value in _constants(graph))
        for graph in graphs:
            for node in graph:
                self._visit(node)
        return ir.passes.PassResult(model, modified=False)

    def _visit(self, node: ir.Node) -> None:
        present = [value for value in node.inputs if value is not None]
        fixed = bool(present) and all(_is_fixed(v) or v in self._fixed for v in present)
        if fixed and not node.op_type.startswith("Random"):
            self._fixed.update(node.outputs)
            return
        if node in self._finder.names or is_helper(node):
            return
        held = [value for each in present for value in self._behind(each)]
        params = sum(_size(value) for value in held if self._large(value))
        if params:
            reason, counted = _reason(node)
            skipped = Skipped(self._name(node), node.op_type, params, reason, counted=counted)
            self.skipped.append(skipped)

    def _behind(self, value: ir.Value) -> list[ir.Value]:
        """The constants that a value is computed from alone, each the first time that it is met."""
        found, stack = [], [value] if _is_fixed(value) or value in self._fixed else []
        while stack:
            each = stack.pop()
            key = source_of(each)
            if key in self._seen:
                continue
            self._seen.add(key)
            node = each.producer()
            if node is None or node.op_type == "Constant":
                found.append(each)
            else:
                stack.extend(v for v in node.inputs if v is not None)
        return found

    def _large(self, value: ir.Value) -> bool:
        tensor = constant(value)
        if tensor is None or tensor.dtype == ir.DataType.INT64:  # shapes and indices
            return False
        size, axes = _size(value), sum(length > 1 for length in tensor.shape.numpy())
        if axes < 2:
            return size >= _MANY and size >= _SHARE_OF_ROWS * self._total
        return size >= _MANY or size >= max(_LEAST, _SHARE * self._total)

    def _name(self, node: ir.Node) -> str:
        base = name = node.name or f"{node.op_type}_{node.outputs[0].name}"
        count = 1
        while name in self._taken:
            count += 1
            name = f"{base}#{count}"
        self._taken.add(name)
        return name


def _reason(node: ir.Node) -> tuple[str, bool]:
    """The reason why a node is no target, and whether it may hold weights all the same."""
    plain = node.domain == MICROSOFT and node.op_type in _WITHOUT_MATRIX
    if node.domain in _STANDARD or plain:
        return f"{node.op_type} does not multiply by its constant as by a matrix", False
    if node.domain.startswith(_RUNTIME):
        return (
            f"{node.op_type} was made by onnxruntime's optimizer ({node.domain}): factorize the "
            "model as it was exported, and optimize the result"
        ), True
    return f"{node.op_type} is of the domain {node.domain}, of which nothing is known", True


def _is_fixed(value: ir.Value) -> bool:
    node = value.producer()
    if node is None:
        return value.is_initializer()
    return node.op_type == "Constant" and node.domain == ""


def _constants(graph: ir.Graph) -> Iterator[ir.Value]:
    yield from graph.initializers.values()
    yield from (node.outputs[0] for node in graph if node.op_type == "Constant")


def _size(value: ir.Value) -> int:
    tensor = constant(value)
    return 0 if tensor is None else math.prod(tensor.shape.numpy())
