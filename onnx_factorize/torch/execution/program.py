"""A graph as a list of steps, and how the steps run.

Values live in numbered slots, which all graphs of a model share: a subgraph sees what surrounds it.
A value is dropped after the last step that reads it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
import torch

from ...foreign import first_line
from . import dtypes, unsigned
from .errors import ExecutionError, Unsupported, UnsupportedError
from .table import Operator

__all__ = ["Call", "Operation", "Program", "State"]


@dataclasses.dataclass(eq=False)
class Operation:
    """One node.

    Attributes:
        label: How messages name it.
        operator: What it does.
        attributes: Its keywords; subgraphs are Programs.
        inputs: Slots that it reads; None for an absent input.
        outputs: Slots that it writes; None for an output that nobody wants.
        input_types: Element types, where the graph tells them.
        output_types: Likewise.
        drops: Slots that nothing reads afterwards.
    """

    label: str
    operator: Operator
    attributes: dict[str, Any]
    inputs: tuple[int | None, ...]
    outputs: tuple[int | None, ...]
    input_types: tuple[ir.DataType | None, ...]
    output_types: tuple[ir.DataType | None, ...]
    drops: tuple[int, ...] = ()


@dataclasses.dataclass(eq=False)
class Program:
    """One graph.

    Attributes:
        inputs: Slots of its inputs.
        outputs: Slots of its outputs.
        steps: Its nodes, in order.
        own: Slots to drop when it ends.
    """

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    steps: list[Operation]
    own: tuple[int, ...]


@dataclasses.dataclass
class State:
    """One run of a model.

    Attributes:
        slots: Values by slot.
        device: Where constants are, and new tensors are made.
        floating: What all floating types are computed in; None for each in its own.
        captured: Slots to keep, and every value that they were given.
        observe: Called with each step and its outputs.
    """

    slots: dict[int, Any]
    device: torch.device
    floating: torch.dtype | None
    captured: dict[int, list[Any]]
    observe: Callable[[Operation, Sequence[Any]], None] | None = None

    def put(self, slot: int, value: Any) -> None:
        """Sets a slot; one that is captured becomes a value that gradients can be asked for."""
        if slot in self.captured:
            if (
                isinstance(value, torch.Tensor)
                and value.is_floating_point()
                and torch.is_grad_enabled()
                and not value.requires_grad
            ):
                value = value.detach().requires_grad_()
            if not any(value is kept for kept in self.captured[slot]):
                self.captured[slot].append(value)
        self.slots[slot] = value

    def run(self, program: Program, arguments: Sequence[Any]) -> list[Any]:
        """Runs one graph on values of its inputs, and returns those of its outputs."""
        for slot, value in zip(program.inputs, arguments, strict=True):
            self.put(slot, value)
        for step in program.steps:
            results = self._results(step)
            for out, result in zip(step.outputs, results, strict=False):
                if out is not None:
                    self.put(out, result)
            if self.observe is not None:
                self.observe(step, results)
            for done in step.drops:
                self.slots.pop(done, None)
        outputs = [self.slots[slot] for slot in program.outputs]
        for slot in program.own:
            self.slots.pop(slot, None)
        return outputs

    def dtype(self, kind: ir.DataType) -> torch.dtype:
        """The torch type that values of an ONNX type have in this run."""
        held = dtypes.held_as(kind)
        return self.floating if self.floating and held.is_floating_point else held

    def _results(self, step: Operation) -> Sequence[Any]:
        arguments = [None if slot is None else self.slots[slot] for slot in step.inputs]
        try:
            if self.device.type != "cpu":
                _gather(arguments, self.device, step.operator.host)
            keywords = dict(step.attributes)
            if step.operator.takes_call:
                keywords["call"] = Call(step, self)
            result = unsigned.apply(step.operator, arguments, keywords)
        except Unsupported as reason:
            raise UnsupportedError(f"{step.label} cannot be run in torch: {reason}.") from reason
        except (torch.cuda.OutOfMemoryError, UnsupportedError, ExecutionError):
            raise
        except Exception as error:
            raise ExecutionError(f"{step.label} failed in torch: {first_line(error)}.") from error
        results = result if isinstance(result, tuple) else (result,)
        if any(slot is not None for slot in step.outputs[len(results) :]):
            raise UnsupportedError(
                f"{step.label} cannot be run in torch: its output {len(results)} is not computed."
            )
        return results


@dataclasses.dataclass(frozen=True)
class Call:
    """The call of an operator, beyond its inputs and attributes."""

    step: Operation
    state: State

    @property
    def device(self) -> torch.device:
        """The device of new tensors."""
        return self.state.device

    @property
    def outputs(self) -> int:
        """The number of outputs of the node, counted to the last one that is wanted."""
        wanted = [i for i, slot in enumerate(self.step.outputs) if slot is not None]
        return wanted[-1] + 1 if wanted else 0

    def dtype(self, kind: int) -> torch.dtype:
        """The torch type of an ONNX type's number."""
        return self.state.dtype(ir.DataType(kind))

    def input_type(self, index: int, value: Any) -> ir.DataType:
        """The ONNX type of an input: the graph's, or that of the tensor where it is silent."""
        kind = self.step.input_types[index] if index < len(self.step.input_types) else None
        if kind is not None:
            return kind
        if isinstance(value, np.ndarray):
            return ir.DataType.STRING
        if value.dtype in (torch.int8, torch.uint8):
            raise Unsupported(f"the graph does not tell the type of input {index}")
        return dtypes.onnx_type(value.dtype)

    def run(self, program: Program, *arguments: Any) -> list[Any]:
        """Runs a subgraph."""
        return self.state.run(program, arguments)


def _gather(arguments: list[Any], device: torch.device, host: Collection[int]) -> None:
    """Moves arguments to one device if they are on several.

    Shapes, and what is computed from them alone, stay on the CPU, where they are read.
    """
    places = [
        i for i, value in enumerate(arguments) if isinstance(value, torch.Tensor) and i not in host
    ]
    if len({arguments[i].device for i in places}) > 1:
        for i in places:
            arguments[i] = arguments[i].to(device)
