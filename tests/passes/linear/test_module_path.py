"""The modules that operators were exported from, and patterns that match them."""

import numpy as np
import onnx_ir as ir
import pytest

from onnx_factorize.options import Options
from onnx_factorize.passes import FindTargets, LiftWeights
from onnx_factorize.passes.linear.module_path import module_path
from onnx_factorize.preparation.find_targets import find_targets

KEY = "pkg.torch.onnx.name_scopes"


def model_of(*modules: str) -> ir.Model:
    x = ir.Value(name="x", shape=ir.Shape(["n", 16]), type=ir.TensorType(ir.DataType.FLOAT))
    graph, value = ir.Graph([x], [], nodes=[], opset_imports={"": 20}, name="g"), x
    for number, module in enumerate(modules):
        array = np.random.default_rng(number).standard_normal((16, 16)).astype(np.float32)
        weight = ir.Value(name=f"w{number}", const_value=ir.tensor(array, name=f"w{number}"))
        weight.shape, weight.type = ir.Shape((16, 16)), x.type
        graph.register_initializer(weight)
        node = ir.Node("", "MatMul", [value, weight], name=f"node_linear_{number}")
        node.metadata_props[KEY] = str(["", module.partition(".")[0], module, f"linear_{number}"])
        value = node.outputs[0]
        value.name, value.type = f"y{number}", x.type
        graph.append(node)
    graph.outputs.append(value)
    return ir.Model(graph, ir_version=10)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("['', 'net', 'net.layers.0', 'net.layers.0.up', 'linear_4']", "net.layers.0.up"),
        ("['', 'linear']", None),
        ("[]", None),
        ("not a list", None),
        ("{'a': 1}", None),
        (None, None),
    ],
)
def test_the_module_is_the_last_scope_before_the_operation(text, path):
    node = ir.Node("", "MatMul", [])
    if text is not None:
        node.metadata_props[KEY] = text
    assert module_path(node) == path


@pytest.mark.parametrize(
    ("options", "left"),
    [
        ({"include": (r"mlp\.up",)}, ["node_linear_1"]),
        ({"exclude": (r"^net\.mlp",)}, ["node_linear_0"]),
        ({"exclude": ("linear_1$",)}, ["node_linear_0", "node_linear_2"]),
        ({"include": ("mlp",), "exclude": ("down",)}, ["node_linear_1"]),
    ],
)
def test_patterns_match_the_module_or_the_name(options, left):
    model = model_of("net.attn.q", "net.mlp.up", "net.mlp.down")
    _, targets, _, excluded = find_targets(model, ["y2"], None, Options(**options))
    assert [target.name for target in targets] == left
    modules = {"net.attn.q", "net.mlp.up", "net.mlp.down"}
    assert {each.module for each in (*targets, *excluded)} == modules


def test_what_is_no_target_says_its_module():
    model = model_of("net.q")
    model.graph[0].replace_input_with(1, model.graph.inputs[0])
    LiftWeights()(model)
    finder = FindTargets()
    finder(model)
    assert [skip.module for skip in finder.skipped] == ["net.q"]
