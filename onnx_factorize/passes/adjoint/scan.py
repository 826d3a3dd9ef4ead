"""Emission of Scan nodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import onnx_ir as ir

from onnx_factorize.passes.adjoint.blocks import Block
from onnx_factorize.passes.adjoint.emit import Emitter
from onnx_factorize.passes.adjoint.step import Step

Values = list[ir.Value]


class Body(NamedTuple):
    """What one time step of a Scan returns."""

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
            results.append(value if fresh else _copy(e, value))
    for value in results:
        value.type, value.shape = kind, ir.Shape([None, None])  # onnxruntime wants the rank
    graph = ir.Graph(inputs, results, nodes=block.nodes, name=e.name())
    way = int(backwards)
    node = ir.Node(
        "",
        "Scan",
        [*states, *sequences],
        [
            ir.AttrGraph("body", graph),
            ir.AttrInt64("num_scan_inputs", len(sequences)),
            ir.AttrInt64s("scan_input_directions", [way] * len(sequences)),
            ir.AttrInt64s("scan_output_directions", [way] * len(step.outputs)),
        ],
        outputs=[ir.Value(name=e.name()) for _ in results],
        name=e.name(),
    )
    e.block.nodes.append(node)
    outputs = list(node.outputs)
    return outputs[: len(states)], outputs[len(states) :]


def _copy(e: Emitter, value: ir.Value) -> ir.Value:
    copy = ir.node("Identity", [value], outputs=[ir.Value(name=e.name())], name=e.name())
    e.block.nodes.append(copy)
    return copy.outputs[0]
