"""From a graph to a program: slots for its values, steps for its nodes."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable
from typing import Any

import onnx_ir as ir

from ..graph import subgraphs
from .constants import content, is_constant, named_constants
from .execution.errors import Unsupported, UnsupportedError
from .execution.program import Operation, Program
from .execution.table import OPERATORS
from .fusing import Fusion, find_fusions

__all__ = ["Built", "Constant", "build", "label_of"]


@dataclasses.dataclass(frozen=True)
class Constant:
    """A constant of the model.

    Attributes:
        name: As `named_constants` has it.
        slot: Where programs read it.
        tensor: What it holds.
        host: Whether it is only ever read as shapes and bounds are (see `Operator.host`).
    """

    name: str
    slot: int
    tensor: ir.TensorProtocol
    host: bool


@dataclasses.dataclass
class Built:
    """The program that a model becomes.

    Attributes:
        program: Its main graph.
        fused: The same in fewer steps.
        within: Slots that only `program` writes, because they are within what is fused.
        constants: Initializers and Constant nodes of all graphs.
        names: Name of the value in each slot.
    """

    program: Program
    fused: Program
    within: frozenset[int]
    constants: list[Constant]
    names: dict[int, str]


def build(model: ir.Model, trained: Collection[str] = ()) -> Built:
    """Builds the program of a model whose functions are inlined.

    Args:
        model: The model.
        trained: Names of constants that may change.

    Raises:
        UnsupportedError: A node's operator or one of its attributes is not in the table.
    """
    builder = _Builder(model.opset_imports)
    program = fused = builder.graph(model.graph)
    known = named_constants(model)
    builder.fusions = find_fusions(model, {known[name] for name in trained})
    if builder.fusions:
        fused = builder.graph(model.graph)
    within = frozenset(builder.slot(v) for node in builder.within for v in node.outputs)
    constants = []
    for name, value in known.items():
        slot = builder.slot(value)
        constants.append(Constant(name, slot, content(value), slot not in builder.computed_with))
    return Built(program, fused, within, constants, builder.names)


def label_of(node: ir.Node) -> str:
    """The name of a node in messages."""
    name = node.name or next((value.name for value in node.outputs if value.name), "without a name")
    domain = f"{node.domain}." if node.domain else ""
    return f"Node '{name}' ({domain}{node.op_type})"


class _Builder:
    def __init__(self, opsets: dict[str, int]) -> None:
        self.names: dict[int, str] = {}
        self.computed_with: set[int] = set()
        self.fusions: dict[ir.Node, Fusion] = {}
        self._opsets = opsets
        self._slots: dict[ir.Value, int] = {}

    @property
    def within(self) -> set[ir.Node]:
        """Nodes that do not run by themselves."""
        return {node for fusion in self.fusions.values() for node in fusion.before}

    def slot(self, value: ir.Value) -> int:
        if value not in self._slots:
            self._slots[value] = len(self._slots)
            self.names[self._slots[value]] = value.name or ""
        return self._slots[value]

    def graph(self, graph: ir.Graph) -> Program:
        inputs = tuple(self.slot(value) for value in graph.inputs)
        constant = {self.slot(v) for v in graph.initializers.values() if v.const_value is not None}
        steps = []
        reads: list[set[int]] = []
        within = self.within
        for node in graph:
            fusion = self.fusions.get(node)
            if fusion is not None:
                steps.append(self._fused_step(node, fusion))
                reads.append({self.slot(fusion.input)})
            elif not is_constant(node) and node not in within:
                steps.append(self._step(node))
                reads.append(set(self._reads(node)))
        outputs = tuple(self.slot(value) for value in graph.outputs)
        self.computed_with.update(outputs)
        own = {slot for step in steps for slot in step.outputs if slot is not None}
        own |= set(inputs)
        own -= constant
        left = own - set(outputs)
        for step, read in zip(reversed(steps), reversed(reads), strict=True):
            written = {slot for slot in step.outputs if slot is not None}
            step.drops = tuple(sorted((read | written) & left))
            left -= read | written
        return Program(inputs, outputs, steps, tuple(sorted(own)))

    def _step(self, node: ir.Node) -> Operation:
        opset = self._opsets.get(node.domain, self._opsets.get("", 1) if not node.domain else 1)
        found = OPERATORS.find(node.domain, node.op_type, opset)
        label = label_of(node)
        if found is None:
            raise UnsupportedError(
                f"{label} cannot be run in torch: the operator is not implemented at opset {opset}."
            )
        attributes: dict[str, Any] = {
            name: self._attribute(attribute) for name, attribute in node.attributes.items()
        }
        try:
            attributes = found.check(attributes)
        except Unsupported as reason:
            raise UnsupportedError(f"{label} cannot be run in torch: {reason}.") from reason
        inputs = tuple(None if v is None or not v.name else self.slot(v) for v in node.inputs)
        self.computed_with.update(
            slot for i, slot in enumerate(inputs) if slot is not None and i not in found.host
        )
        return Operation(
            label,
            found,
            attributes,
            inputs,
            tuple(self.slot(v) if v.name and _wanted(v) else None for v in node.outputs),
            tuple(None if v is None else v.dtype for v in node.inputs),
            tuple(v.dtype for v in node.outputs),
        )

    def _fused_step(self, last: ir.Node, fusion: Fusion) -> Operation:
        x, y = fusion.input, last.outputs[0]
        places = (self.slot(x),), (self.slot(y),)
        return Operation(label_of(last), fusion.operator, {}, *places, (x.dtype,), (y.dtype,))

    def _attribute(self, attribute: ir.Attr) -> Any:
        kind = attribute.type
        if kind == ir.AttributeType.GRAPH:
            return self.graph(attribute.as_graph())
        if kind in (ir.AttributeType.INTS, ir.AttributeType.FLOATS, ir.AttributeType.STRINGS):
            return tuple(attribute.value)
        return attribute.value

    def _reads(self, node: ir.Node) -> Iterable[int]:
        """Slots that a node reads, those that its subgraphs read around them included."""
        for value in node.inputs:
            if value is not None and value.name:
                yield self.slot(value)
        for graph in subgraphs(node):
            for inner in graph:
                yield from self._reads(inner)
            for value in graph.outputs:
                yield self.slot(value)


def _wanted(value: ir.Value) -> bool:
    """Tells whether anything reads a value."""
    return bool(value.uses()) or value.is_graph_output()
