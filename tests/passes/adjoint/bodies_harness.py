"""Bodies of fused operators beside onnxruntime's kernels, and their adjoints in float64."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import onnx_ir as ir
from adjoint_harness import Adjoint, Arrays, evaluator, parse, session, widened
from onnx_ir.passes.common import RemoveUnusedNodesPass

from onnx_factorize.graph.inline import expand
from onnx_factorize.passes.adjoint import bodies
from onnx_factorize.passes.adjoint.inference import infer

_DIRECTIONS = 3  # random ones: each shows an error of any element


def body(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model's one node as its body, with the names of the model."""
    model = ir.from_proto(proto)
    (node,) = model.graph
    if not bodies.has_body(node):  # it has a rule, or its schema has a function
        expand(model, lambda inner, _: inner.op_type == node.op_type)
        return ir.to_proto(model)
    made = bodies.build(node, infer(model), model.opset_imports[""]).clone()
    for value in made.graph.inputs:
        value.name = node.inputs[int(value.name.removeprefix("input_"))].name
    for value in made.graph.outputs:
        outer = node.outputs[int(value.name.removeprefix("output_"))]
        value.name, value.type = outer.name, outer.type
    for value in list(made.graph.inputs):
        constant = model.graph.initializers.get(value.name)
        if constant is not None:
            made.graph.inputs.remove(value)
            value.const_value = constant.const_value
            made.graph.initializers.add(value)
    return ir.to_proto(made)


def check_body(
    text: str,
    feeds: Arrays,
    wanted: Sequence[str] | None = None,
    *,
    opset: int = 18,
    tolerance: float = 1e-5,
    rows: Mapping[str, np.ndarray] | None = None,
    through: Sequence[str] = ("y",),
) -> None:
    """Check a body's values by onnxruntime's kernel, its gradients by differences in float64.

    Args:
        text: A graph of one node.
        feeds: Its inputs.
        wanted: The inputs to differentiate by: all of floats unless given.
        opset: The opset of the standard operators.
        tolerance: Of the values, absolute and relative.
        rows: By output, a mask of the rows that count, where others may be anything.
        through: The outputs that gradients come from.
    """
    names = list(wanted or [name for name, a in feeds.items() if a.dtype == np.float32])
    proto, rows = parse(text, opset), rows or {}
    outputs = [info.name for info in proto.graph.output]
    made = body(proto)
    expected = dict(zip(outputs, session(proto).run(None, feeds), strict=True))
    given = [info.name for info in made.graph.output]
    for name, array in zip(given, session(made).run(None, feeds), strict=True):
        found, truth = array, expected[name]
        if name in rows:
            found, truth = found[rows[name]], truth[rows[name]]
        np.testing.assert_allclose(found, truth, rtol=tolerance, atol=tolerance, err_msg=name)
    generator = np.random.default_rng(7)
    cotangents = {name: generator.standard_normal(expected[name].shape) for name in through}
    for name in cotangents.keys() & rows.keys():
        cotangents[name][~rows[name]] = 0
    _check_gradients(text, feeds, cotangents, names, opset)


def _check_gradients(
    text: str, feeds: Arrays, cotangents: Arrays, names: Sequence[str], opset: int
) -> None:
    """The node itself has no kernel of doubles: nothing but its gradients is computed."""
    proto = parse(widened(text), opset)
    wide = {n: a.astype(np.float64) if a.dtype == np.float32 else a for n, a in feeds.items()}
    adjoint = Adjoint(proto, names, through=list(cotangents), run=False)
    assert not adjoint.step.unreachable, adjoint.step.unreachable
    model = adjoint.model
    del model.graph.outputs[: len(proto.graph.output)]
    RemoveUnusedNodesPass()(model)
    seeds = {f"seed.{name}": array for name, array in cotangents.items()}
    found = evaluator(ir.to_proto(model))({**wide, **seeds})
    run, generator, h = evaluator(body(proto)), np.random.default_rng(8), 1e-5

    def loss(feeds: Arrays) -> float:
        outputs = run(feeds)
        return sum(float((c * outputs[name]).sum()) for name, c in cotangents.items())

    for name, gradient in zip(names, adjoint.names, strict=True):
        ours, array = found[gradient], wide[name]
        assert ours.shape == array.shape, name
        assert ours.dtype == np.float64, name
        for _ in range(_DIRECTIONS):
            way = generator.standard_normal(array.shape)
            ahead, back = (loss({**wide, name: array + sign * h * way}) for sign in (1, -1))
            error = abs((ahead - back) / (2 * h) - float((ours * way).sum()))
            error /= max(float(np.linalg.norm(ours)), 1e-3)
            assert error < 1e-6, f"{name}: relative error {error:.1e}"
