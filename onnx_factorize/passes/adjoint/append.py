"""The pass: reverse accumulation over a graph, appended to it as ordinary nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx_ir as ir

from onnx_factorize.graph import opset
from onnx_factorize.passes.adjoint import control_flow, functions, scopes
from onnx_factorize.passes.adjoint.emission.emit import Emitter
from onnx_factorize.passes.adjoint.emission.facts import Facts
from onnx_factorize.passes.adjoint.inference import correct
from onnx_factorize.passes.adjoint.sweep import Sweep, Ways

_WAYS = Ways({("", "If"): control_flow.differentiate_if}, functions.differentiate)


class AppendAdjoint(ir.passes.InPlacePass):
    """Append the cotangents of chosen values, given cotangents of others, to the main graph.

    For seeds (u_j, ū_j) and wanted values v, the appended nodes compute

        v̄ = Σ_j (∂u_j / ∂v)ᵀ ū_j,

    every v̄ with the shape and type of v. Only nodes on a path from a wanted value to a seeded one
    are differentiated. What each operator contributes is a rule (`registry.rule`); an operator
    without one is differentiated through the body of its ONNX function, if it has one.

    A gradient is complete or absent: a wanted value one of whose paths to a seeded value meets an
    operator without a rule has no entry in ``gradients`` but a reason in ``unreachable``, even if
    its other paths could be differentiated. A value without any path of floating-point values
    and nonzero derivatives is reported too.

    Wanted values may lie inside (nested) If branches. Their cotangents are outputs of an If
    in the main graph, and are empty tensors when another branch was taken.

    The pass appends nodes and initializers, and adds outputs to If and LayerNormalization nodes. It
    does not add graph outputs. Existing values keep their identity and names; of declared shapes
    only what inference confirms is kept. ``ir_version`` is raised to 4 where it is lower, because
    initializers are no graph inputs.

    Attributes:
        gradients: The cotangent by wanted value, after the pass ran: always a node's output, which
            several wanted values may share (those of a product and of its sum with a bias).
        unreachable: The reason by wanted value without a gradient.
        passed_on: What the adjoint of a segment passes on to earlier ones: the cotangent that it
            and later segments give a value of theirs, by the index of the segment that adds to it.
    """

    def __init__(
        self,
        seeds: Mapping[ir.Value, ir.Value],
        wanted: Sequence[ir.Value],
        segments: Sequence[Sequence[ir.Node]] = (),
    ) -> None:
        """Prepare the pass.

        Args:
            seeds: By value, its cotangent: a value of the main graph, of the same shape and type.
            wanted: The values whose cotangents to compute.
            segments: Consecutive nodes of the graph whose adjoints are to be apart.
        """
        super().__init__()
        self.segments = segments
        self.passed_on: dict[ir.Value, int] = {}
        self.seeds = dict(seeds)
        self.wanted = tuple(dict.fromkeys(wanted))
        self.gradients: dict[ir.Value, ir.Value] = {}
        self.unreachable: dict[ir.Value, str] = {}

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Append the adjoint to a model's main graph."""
        self.gradients, self.unreachable = {}, {}
        emitter = Emitter(opset(model), scopes.free_prefix(model))
        sweep = Sweep(model, self.wanted, emitter, _WAYS)
        for value, cotangent in self.seeds.items():
            sweep.contribute(value, cotangent)
        self._sweep(list(model.graph), sweep)
        for value in self.wanted:
            if value in sweep.broken:
                self.unreachable[value] = sweep.broken[value]
                continue
            gradient = sweep.gradient(value)
            if gradient is None:
                self.unreachable[value] = "no differentiable path to a seeded output"
            else:
                own = gradient.producer() is not None
                self.gradients[value] = gradient if own else sweep.e.op("Identity", gradient)
        correct(model, sweep.facts)
        self.gradients = scopes.attach(model, sweep.e, self.gradients, sweep.facts)
        for value, gradient in self.gradients.items():
            _describe(gradient, value, sweep.facts)
        self.passed_on = {v: i for v, i in self.passed_on.items() if v.graph is model.graph}
        model.ir_version = max(model.ir_version, 4)
        return ir.passes.PassResult(model, modified=bool(self.gradients))

    def _sweep(self, nodes: Sequence[ir.Node], sweep: Sweep) -> None:
        """Differentiate segment by segment, the last first."""
        sweep.keep_apart()
        place = {node: index for index, node in enumerate(nodes)}
        end = len(nodes)
        for index in reversed(range(1, len(self.segments))):
            begin = place[self.segments[index][0]]
            sweep.run(nodes[begin:end])
            end = begin
            before = {value for node in nodes[:begin] for value in node.outputs}
            self.passed_on |= dict.fromkeys(sweep.pass_on(before), index)
        sweep.run(nodes[:end])


def _describe(gradient: ir.Value, primal: ir.Value, known: Facts) -> None:
    """Give a cotangent its primal's type, and what is certain of its shape."""
    dtype = known.dtype(primal)
    if gradient.type is None and dtype is not None:
        gradient.type = ir.TensorType(dtype)
    dims = known.dims.get(primal)
    if gradient.shape is None and dims is not None:
        gradient.shape = ir.Shape([dim if isinstance(dim, int) else None for dim in dims])
