"""The module: names, capture, types, errors, the way back."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from builders import model, normal

torch = pytest.importorskip("torch")

from onnx_factorize import InputError  # noqa: E402
from onnx_factorize.torch import (  # noqa: E402
    DeviationError,
    ExecutionError,
    UnsupportedError,
    check_against_onnxruntime,
    to_torch,
    write_back,
)


def onnx_run(proto, feeds):
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    return session.run(None, feeds)


def test_importing_the_package_does_not_import_torch():
    code = "import sys, onnx_factorize, onnx_factorize.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_positional_and_named_inputs(mlp, mlp_feeds):
    module = to_torch(mlp)
    x = torch.from_numpy(mlp_feeds[0]["x"])
    (expected,) = onnx_run(mlp, mlp_feeds[0])
    for outputs in (module(x), module(x=x)):
        np.testing.assert_allclose(outputs["y"].detach().numpy(), expected, atol=1e-6)
    with pytest.raises(InputError, match="'x' is missing"):
        module()
    with pytest.raises(InputError, match="'z' is unknown"):
        module(x, z=x)
    with pytest.raises(InputError, match="given twice"):
        module(x, x=x)


NAMES = {
    "a.b.weight": "a.b.weight",
    "a.b": "renamed.0",
    "/m/w:0": "/m/w:0",
    "forward": "renamed.2",
    "x..y": "renamed.3",
    "renamed.q": "renamed.4",
    "input_names": "renamed.5",
}


@pytest.fixture
def named():
    """A product with one factor for each name."""
    values = [ir.Value(name="x", type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape(["n", 3]))]
    nodes, initializers = [], []
    for i, name in enumerate(NAMES):
        tensor = ir.tensor(normal(i, 3).astype(np.float32), name=name)
        initializers.append(
            ir.Value(
                name=name, const_value=tensor, type=ir.TensorType(tensor.dtype), shape=tensor.shape
            )
        )
        node = ir.node("Mul", [values[-1], initializers[-1]], name=f"mul{i}")
        node.outputs[0].name = f"v{i}"
        values.append(node.outputs[0])
        nodes.append(node)
    values[-1].type = ir.TensorType(ir.DataType.FLOAT)
    graph = ir.Graph(
        values[:1],
        values[-1:],
        nodes=nodes,
        initializers=initializers,
        opset_imports={"": 18},
        name="g",
    )
    return ir.Model(graph, ir_version=8)


def test_state_dict_has_the_initializers_names(named):
    module = to_torch(named)
    assert set(module.state_dict()) == set(NAMES)
    assert len(set(module.initializers.values())) == len(NAMES)
    assert module.initializers["a.b.weight"] == "a.b.weight"
    assert dict(module.named_parameters()).keys() == set(module.initializers.values())
    other = to_torch(named)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    other.load_state_dict(module.state_dict())
    x = torch.ones(2, 3)
    torch.testing.assert_close(other(x), module(x))


def test_write_back_round_trip(named):
    module = to_torch(named)
    feeds = {"x": normal(9, 2, 3)}
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(1.5)
    write_back(module, named)
    (found,) = onnx_run(ir.to_proto(named), feeds)
    np.testing.assert_allclose(found, module.run(feeds).outputs["v6"].detach(), rtol=1e-5)
    wrong = named.clone()
    wrong.graph.initializers["a.b"].const_value = ir.tensor(np.zeros(4, np.float32))
    with pytest.raises(InputError, match=r"'a.b' has shape \[4\]"):
        write_back(module, wrong)


def test_chosen_parameters(mlp):
    assert set(to_torch(mlp).state_dict()) == {"w1", "b1", "w2", "b2"}
    assert set(to_torch(mlp, ["w1"]).state_dict()) == {"w1"}
    assert set(to_torch(mlp, lambda value: value.name.startswith("b")).state_dict()) == {"b1", "b2"}
    with pytest.raises(InputError, match="'w9'"):
        to_torch(mlp, ["w9"])


def test_gradients_of_parameters_and_of_captured_values(mlp, mlp_feeds):
    module = to_torch(mlp, []).double()
    run = module.run(mlp_feeds[0], capture=["h", "logits", "x"])
    loss = run.outputs["y"].square().sum()
    at = torch.autograd.grad(loss, list(run.captured.values()))
    assert [tuple(g.shape) for g in at] == [(10, 32), (10, 6), (10, 24)]
    # y = softmax(logits): the chain rule by hand
    y = run.outputs["y"].detach()
    by_hand = 2 * y * (y - y.square().sum(-1, keepdim=True))
    torch.testing.assert_close(at[1], by_hand)
    trained = to_torch(mlp).double()
    run = trained.run(mlp_feeds[0], capture=["h"])
    run.outputs["y"].square().sum().backward()
    x = torch.from_numpy(mlp_feeds[0]["x"]).double()
    torch.testing.assert_close(trained.get_parameter("w1").grad, x.T @ at[0])
    with pytest.raises(InputError, match="'nothing' is not a value"):
        module.run(mlp_feeds[0], capture=["nothing"])


def test_every_type_follows_double(mlp, mlp_feeds):
    text = """(float[n, 24] x) => (float[n, 24] y) {
        h = Cast <to = 10> (x)
        z = Cast <to = 1> (h)
        shape = Shape (z)
        c = ConstantOfShape <value = float[1] {0.1}> (shape)
        y = Add (z, c)
    }"""
    proto = model(text, {})
    module = to_torch(proto).double()
    y = module.run(mlp_feeds[0]).outputs["y"]
    assert y.dtype == torch.float64
    exact = mlp_feeds[0]["x"].astype(np.float64) + np.float64(np.float32(0.1))
    np.testing.assert_array_equal(y.detach().numpy(), exact)
    single = to_torch(mlp)(torch.zeros(1, 24, dtype=torch.float32))["y"]
    assert single.dtype == torch.float32


def test_autocast_and_copies(mlp, mlp_feeds):
    module = to_torch(mlp)
    x = torch.from_numpy(mlp_feeds[0]["x"])
    exact = module(x)["y"]
    with torch.autocast("cpu", torch.bfloat16):
        rough = module(x)["y"]
        rough.sum().backward()
    torch.testing.assert_close(rough.float(), exact, atol=0.05, rtol=0.05)
    for copied in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        torch.testing.assert_close(copied(x)["y"], exact)
        assert copied.state_dict().keys() == module.state_dict().keys()


def test_a_bound_that_half_precision_does_not_reach():
    """Exports that mean "no bound" write the largest float32."""
    text = """(float[b, 4] x) => (float[b, 4] y) {
        h = MatMul (x, w)
        y = Clip <min: float = 0.0, max: float = 3.4028234e38> (h)
    }"""
    graph = model(text, {"w": normal(1, 4, 4).astype(np.float32)}, opset=10)
    x = torch.from_numpy(normal(2, 3, 4).astype(np.float32))
    module = to_torch(graph)
    single = module(x)["y"]
    with torch.autocast("cpu", torch.bfloat16):
        half = module(x)["y"]
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), single, atol=0.05, rtol=0.05)


def test_unknown_operator_is_named():
    node = onnx.helper.make_node("Frobnicate", ["x"], ["y"], name="odd", domain="acme")
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph([node], "g", [value("x", 1, [2])], [value("y", 1, [2])])
    imports = [onnx.helper.make_opsetid("", 18), onnx.helper.make_opsetid("acme", 1)]
    proto = onnx.helper.make_model(graph, opset_imports=imports)
    with pytest.raises(UnsupportedError, match=r"Node 'odd' \(acme.Frobnicate\)"):
        to_torch(proto)


def test_unknown_attribute_is_refused():
    node = onnx.helper.make_node("Relu", ["x"], ["y"], name="odd", slope=0.5)
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph([node], "g", [value("x", 1, [2])], [value("y", 1, [2])])
    with pytest.raises(UnsupportedError, match=r"'odd' .* attribute 'slope'"):
        to_torch(onnx.helper.make_model(graph))


def test_a_failing_node_is_named(mlp):
    with pytest.raises(ExecutionError, match="Node 'first'"):
        to_torch(mlp)(torch.zeros(2, 5))


def test_values_are_dropped_after_their_last_use():
    nodes = "\n".join(f"v{i + 1} = Relu (v{i})" for i in range(50))
    proto = model(f"(float[n] v0) => (float[n] v50) {{ {nodes} }}", {})
    module = to_torch(proto)
    alive = []

    def look(step, results):
        alive.append(sum(storage() is not None for storage in seen))
        seen.append(weak(results[0]))

    import weakref  # noqa: PLC0415

    seen = []
    weak = weakref.ref
    with torch.no_grad():
        module.run({"v0": normal(1, 1000)}, observe=look)
    assert max(alive) <= 2


def test_the_first_deviating_node_is_named(mlp, mlp_feeds):
    source = ir.from_proto(mlp)
    module = to_torch(source)
    assert check_against_onnxruntime(module, source, mlp_feeds[0]) < 1e-5
    with torch.no_grad():
        module.get_parameter("b1").add_(1)
    with pytest.raises(DeviationError, match=r"Node 'add' \(Add\) is the first"):
        check_against_onnxruntime(module, source, mlp_feeds[0])


# Of numbers near one, a few parts in ten thousand are left of float32's digits.
ROUGH = "c = Constant <value_float = 16384.0> () p = Mul (x, w) s = Add (p, c) y = Sub (s, c)"


@pytest.mark.parametrize(("body", "rounded"), [("y = Mul (x, w)", False), (ROUGH, True)])
def test_what_float32_loses_by_itself_is_no_deviation(body, rounded):
    """A difference of 3e-4 is an error of the executor, unless rounding alone makes as much."""
    weights = {"w": np.array([1.0, 1.0], np.float32)}
    source = ir.from_proto(model(f"(float[n, 2] x) => (float[n, 2] y) {{ {body} }}", weights))
    module = to_torch(source)
    with torch.no_grad():
        module.get_parameter("w").mul_(1.0003)
    feeds = {"x": normal(1, 16, 2).astype(np.float32)}
    if rounded:
        assert 1e-4 < check_against_onnxruntime(module, source, feeds) < 2e-3
    else:
        with pytest.raises(DeviationError, match="Mul"):
            check_against_onnxruntime(module, source, feeds)


def test_weights_in_branches_have_gradients_and_find_back():
    text = """(float[n] x, bool c) => (float[n] y) {
        y = If (c) <
            then_branch = yes () => (float[n] a) {
                w = Constant <value = float[1] {2.0}> ()
                big = Expand (w, two)
                a = Mul (x, big)
            },
            else_branch = no () => (float[n] b) {
                w = Constant <value = float[1] {3.0}> ()
                b = Mul (x, w)
            }
        >
    }"""
    source = ir.from_proto(model(text, {"two": np.array([2])}))
    for value in [
        n.outputs[0] for g in source.graph.subgraphs() for n in g if n.op_type == "Constant"
    ]:
        assert value.name == "w"
    assert set(to_torch(source, lambda _: True).state_dict()) == {"w", "w#2"}
    module = to_torch(source, ["w"])
    y = module(torch.ones(2), torch.tensor(True))["y"]
    assert y.tolist() == [2, 2]
    y.sum().backward()
    assert module.state_dict().keys() == {"w"}
    assert module.get_parameter("w").grad.tolist() == [2]
    assert module(torch.ones(2), torch.tensor(False))["y"].tolist() == [3, 3]
    both = to_torch(source, ["w", "w#2"])
    with torch.no_grad():
        both.get_parameter("w#2").fill_(5)
    write_back(both, source)
    again = to_torch(source)
    assert again(torch.ones(2), torch.tensor(False))["y"].tolist() == [5, 5]
    assert again(torch.ones(2), torch.tensor(True))["y"].tolist() == [2, 2]


def test_gradients_through_a_loop_and_capture_of_its_body():
    text = """(float[n] x, int64 trips) => (float[n] y) {
        go = Constant <value_int = 1> ()
        yes = Cast <to = 9> (go)
        y = Loop (trips, yes, x) <body = f (int64 i, bool c, float[n] s) => (bool d, float[n] t) {
            d = Identity (c)
            t = Mul (s, s)
        }>
    }"""
    module = to_torch(model(text, {}))
    run = module.run({"x": np.array([3.0], np.float32), "trips": np.array(3)}, capture=["x", "t"])
    assert run.outputs["y"].item() == 3.0**8
    assert [value.item() for value in run.captured["t"]] == [9, 81, 6561]
    (gradient,) = torch.autograd.grad(run.outputs["y"].sum(), [run.captured["x"]])
    assert gradient.item() == 8 * 3.0**7


def test_values_of_several_devices_meet_on_that_of_the_module():
    from onnx_factorize.torch.execution.program import _gather  # noqa: PLC0415

    meta = torch.device("meta")  # stands for an accelerator
    arguments = [torch.zeros(2, device=meta), torch.zeros(2), torch.tensor([2]), None, [1]]
    _gather(arguments, meta, {2})
    assert [a.device.type for a in arguments[:3]] == ["meta", "meta", "cpu"]
    shapes = [torch.tensor([1]), torch.tensor([2])]
    _gather(shapes, meta, ())
    assert {a.device.type for a in shapes} == {"cpu"}
