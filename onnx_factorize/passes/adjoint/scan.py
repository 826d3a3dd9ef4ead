"""Emission of Scan nodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import onnx_ir as ir

from onnx_factorize.graph.builder import Attribute
from onnx_factorize.passes.adjoint.emission.blocks import Block
from onnx_factorize.passes.adjoint.step import Step

Values = list[ir.Value]


class Body(NamedTuple):
    """The values that one time step of a Scan returns."""

    states: Values
    outputs: Values


def scan(
    s: Step,
    states: Sequence[ir.Value],
    sequences: Sequence[ir.Value],
    body: Callable[[Values, Values], Body],
    *,
    backwards: bool,
) -> tuple[Values, Values]:
    """Emit a Scan over the first axis; return the last states and the stacked outputs."""
    e = s.e
    e.needs(9, "Scan")
    kind = ir.TensorType(s.dtype)
    inputs = [ir.Value(name=e.name(), type=kind) for _ in (*states, *sequences)]
    block = Block(e.block)
    with e.inside(block):
        step = body(inputs[: len(states)], inputs[len(states) :])
        results = []
        for value in (*step.states, *step.outputs):
            fresh = value not in results and value.producer() in block.nodes
            results.append(value if fresh else e.copy(value))
    for value in results:
        value.type, value.shape = kind, ir.Shape([None, None])  # onnxruntime wants the rank
    graph = ir.Graph(inputs, results, nodes=block.nodes, name=e.name())
    way = int(backwards)
    attributes: dict[str, Attribute] = {
        "body": ir.AttrGraph("body", graph),
        "num_scan_inputs": len(sequences),
        "scan_input_directions": [way] * len(sequences),
        "scan_output_directions": [way] * len(step.outputs),
    }
    outputs = list(e.fresh("Scan", [*states, *sequences], attributes, len(results)))
    return outputs[: len(states)], outputs[len(states) :]
