"""Activations that are spelled out: recognised, exact, and only where nobody looks inside."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from builders import normal

torch = pytest.importorskip("torch")

from onnx_factorize.torch import check_against_onnxruntime, to_torch  # noqa: E402
from onnx_factorize.torch.fusing import find_fusions  # noqa: E402

CONSTANTS = (
    "three = Constant<value_float=3.0>() six = Constant<value_float=6.0>() "
    "low = Constant<value_float=0.0>() one = Constant<value = float[1] {1.0}>() "
    "half = Constant<value_float=0.5>() root = Constant<value_float=1.4142135>()"
)
SPELLED = {
    "HardSwish": [
        "a = Add(x, three) b = Clip(a, low, six) c = Mul(x, b) y = Div(c, six)",
        "a = Add(three, x) b = Clip(a, low, six) c = Mul(b, x) y = Div(c, six)",
        "a = Add(x, three) b = Clip(a, low, six) c = Div(b, six) y = Mul(x, c)",
    ],
    "Swish": ["a = Sigmoid(x) y = Mul(x, a)", "b = Mul(one, x) a = Sigmoid(b) y = Mul(a, x)"],
    "Gelu": [
        "b = Div(x, root) c = Erf(b) d = Add(c, one) a = Mul(x, d) y = Mul(a, half)",
        "b = Div(x, root) c = Erf(b) d = Add(one, c) a = Mul(half, x) y = Mul(a, d)",
    ],
}
CASES = [(name, body) for name, bodies in SPELLED.items() for body in bodies]
OTHER = {
    "another constant": SPELLED["HardSwish"][0].replace("three", "half"),
    "another input": SPELLED["HardSwish"][0].replace("Mul(x, b)", "Mul(a, b)"),
    "read elsewhere": SPELLED["Swish"][0].replace("y =", "s =") + " y = Add(s, a)",
    "an output": SPELLED["Swish"][0].replace("y =", "s =") + " y = Identity(a)",
}


def graph(body, kind="float"):
    text = f'<ir_version: 8, opset_import: ["" : 13]> g ({kind}[n, 4] x) => ({kind}[n, 4] y) {{'
    return ir.from_onnx_text(f"{text} {CONSTANTS} {body} }}")


def gradients(module, capture=()):
    """Of the outputs' squares at x, around the points where these functions bend."""
    x = torch.from_numpy(4 * normal(3, 16, 4).astype(np.float32)).requires_grad_()
    run = module.run({"x": x}, capture=capture)
    run.outputs["y"].square().sum().backward()
    return run.outputs["y"].detach(), x.grad


@pytest.mark.parametrize(("name", "body"), CASES)
def test_one_operator_for_what_is_spelled_out(name, body):
    model = graph(body)
    (fusion,) = find_fusions(model, ()).values()
    assert fusion.operator.name == name
    assert len(fusion.before) + 1 == body.count("=")
    module = to_torch(model)
    feeds = {"x": 4 * normal(5, 16, 4).astype(np.float32)}
    assert check_against_onnxruntime(module, model, feeds, tolerance=1e-5) < 1e-5
    # With a value within it asked for, all nodes run.
    for fused, single in zip(gradients(module), gradients(module, ["a"]), strict=True):
        torch.testing.assert_close(fused, single, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("body", OTHER.values(), ids=OTHER)
def test_what_only_looks_like_it_is_left_alone(body):
    assert not find_fusions(graph(body), ())


def test_fewer_nodes_run_unless_somebody_looks():
    module, seen = to_torch(graph(SPELLED["Gelu"][0])), []
    x = torch.ones(1, 4, requires_grad=True)
    assert "GeluBackward" in type(module(x)["y"].grad_fn).__name__
    run = module.run({"x": x}, capture=["c"])
    assert "GeluBackward" not in type(run.outputs["y"].grad_fn).__name__
    torch.testing.assert_close(run.captured["c"], torch.erf(x / 2**0.5))
    module.run({"x": x}, observe=lambda step, _: seen.append(step.label))
    assert len(seen) == 5


def test_a_constant_that_is_trained_is_read():
    model = graph(SPELLED["Swish"][1])
    module = to_torch(model, trainable=["one"])
    module(torch.ones(1, 4))["y"].sum().backward()
    (one,) = module.parameters()
    assert one.grad is not None


def test_a_branch_is_fused_too():
    body = (
        "yes = Constant<value_int=1>() truth = Cast<to=9>(yes) y = If(truth) "
        "<then_branch = g1 () => (float[n, 4] t) { a = Sigmoid(x) t = Mul(x, a) }, "
        "else_branch = g2 () => (float[n, 4] t) { t = Identity(x) }>"
    )
    model = graph(body)
    assert [each.operator.name for each in find_fusions(model, ()).values()] == ["Swish"]
    feeds = {"x": normal(5, 3, 4).astype(np.float32)}
    assert check_against_onnxruntime(to_torch(model), model, feeds) < 1e-6


def test_a_trained_constant_of_a_second_branch_is_read():
    """Branches may use one name for two constants: the second is trained under another."""
    branch = "one = Constant<value = float[1] {{1.0}}>() b{0} = Mul(one, x) a{0} = Sigmoid(b{0})"
    body = (
        "yes = Constant<value_int=0>() truth = Cast<to=9>(yes) y = If(truth) "
        f"<then_branch = g1 () => (float[n, 4] t) {{ {branch.format(1)} t = Mul(x, a1) }}, "
        f"else_branch = g2 () => (float[n, 4] t2) {{ {branch.format(2)} t2 = Mul(x, a2) }}>"
    )
    head = '<ir_version: 8, opset_import: ["" : 13]> g (float[n, 4] x) => (float[n, 4] y)'
    module = to_torch(ir.from_onnx_text(f"{head} {{ {body} }}"), trainable=["one#2"])
    module(torch.ones(1, 4))["y"].sum().backward()
    (one,) = module.parameters()
    assert one.grad is not None
