"""From a graph to a program: slots for its values, steps for its nodes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from .errors import Unsupported, UnsupportedError
from .program import Program, Step
from .table import find

__all__ = ["Built", "Constant", "build", "label_of"]


@dataclasses.dataclass(frozen=True)
class Constant:
    """A constant of the model.

    Attributes:
        name: Unique in the model: its value's name, with a number behind it if sibling graphs
            have the same.
        slot: Where programs read it.
        tensor: What it holds.
    """

    name: str
    slot: int
    tensor: ir.TensorProtocol


@dataclasses.dataclass
class Built:
    """What a model becomes.

    Attributes:
        program: Its main graph.
        constants: Initializers and Constant nodes of all graphs.
        names: Name of the value in each slot.
    """

    program: Program
    constants: list[Constant]
    names: dict[int, str]


def build(model: ir.Model) -> Built:
    """Builds the program of a model whose functions are inlined.

    Raises:
        UnsupportedError: A node's operator or one of its attributes is not in the table.
    """
    builder = _Builder(model.opset_imports)
    program = builder.graph(model.graph)
    return Built(program, builder.constants, builder.names)


def label_of(node: ir.Node) -> str:
    """How messages name a node."""
    name = node.name or next((value.name for value in node.outputs if value.name), "without a name")
    domain = f"{node.domain}." if node.domain else ""
    return f"Node '{name}' ({domain}{node.op_type})"


class _Builder:
    def __init__(self, opsets: dict[str, int]) -> None:
        self.constants: list[Constant] = []
        self.names: dict[int, str] = {}
        self._opsets = opsets
        self._slots: dict[ir.Value, int] = {}
        self._taken: set[str] = set()

    def slot(self, value: ir.Value) -> int:
        if value not in self._slots:
            self._slots[value] = len(self._slots)
            self.names[self._slots[value]] = value.name or ""
        return self._slots[value]

    def graph(self, graph: ir.Graph) -> Program:
        inputs = tuple(self.slot(value) for value in graph.inputs)
        constant = set()
        for value in graph.initializers.values():
            if value.const_value is not None:
                constant.add(self._constant(value, value.const_value))
        steps = []
        reads: list[set[int]] = []
        for node in graph:
            if node.op_type == "Constant" and node.domain in ("", "ai.onnx"):
                constant.add(self._constant(node.outputs[0], _content(node)))
                continue
            steps.append(self._step(node))
            reads.append(set(self._reads(node)))
        outputs = tuple(self.slot(value) for value in graph.outputs)
        own = {slot for step in steps for slot in step.outputs if slot is not None}
        own |= set(inputs)
        own -= constant
        left = own - set(outputs)
        for step, read in zip(reversed(steps), reversed(reads), strict=True):
            written = {slot for slot in step.outputs if slot is not None}
            step.drops = tuple(sorted((read | written) & left))
            left -= read | written
        return Program(inputs, outputs, steps, tuple(sorted(own)))

    def _constant(self, value: ir.Value, tensor: ir.TensorProtocol) -> int:
        name = value.name or "constant"
        count = 1
        while name in self._taken:
            count += 1
            name = f"{value.name}#{count}"
        self._taken.add(name)
        slot = self.slot(value)
        self.constants.append(Constant(name, slot, tensor))
        return slot

    def _step(self, node: ir.Node) -> Step:
        opset = self._opsets.get(node.domain, self._opsets.get("", 1) if not node.domain else 1)
        found = find(node.domain, node.op_type, opset)
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
        return Step(
            label,
            found,
            attributes,
            tuple(None if v is None or not v.name else self.slot(v) for v in node.inputs),
            tuple(self.slot(v) if v.name and _wanted(v) else None for v in node.outputs),
            tuple(None if v is None else v.dtype for v in node.inputs),
            tuple(v.dtype for v in node.outputs),
        )

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
        for attribute in node.attributes.values():
            if attribute.type == ir.AttributeType.GRAPH:
                graph = attribute.as_graph()
                for inner in graph:
                    yield from self._reads(inner)
                for value in graph.outputs:
                    yield self.slot(value)


def _wanted(value: ir.Value) -> bool:
    """Whether anything reads a value."""
    return bool(value.uses()) or value.is_graph_output()


def _content(node: ir.Node) -> ir.TensorProtocol:
    """What a Constant node holds."""
    for name, attribute in node.attributes.items():
        value = attribute.value
        if name == "value":
            tensor: ir.TensorProtocol = attribute.as_tensor()
            return tensor
        if name in ("value_float", "value_floats"):
            return ir.tensor(np.array(value, np.float32))
        if name in ("value_int", "value_ints"):
            return ir.tensor(np.array(value, np.int64))
        if name in ("value_string", "value_strings"):
            words: Sequence[str] = [value] if isinstance(value, str) else value
            encoded = [word.encode() for word in words]
            shape = () if name == "value_string" else (len(words),)
            return ir.StringTensor(encoded, shape=ir.Shape(shape))
    raise UnsupportedError(f"{label_of(node)} cannot be run in torch: it is sparse.")
