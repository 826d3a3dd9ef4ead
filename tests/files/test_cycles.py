"""Models whose nodes, or functions, go round in a circle end in one sentence, soon."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from builders import normal
from onnx import helper

from onnx_factorize import InputError, factorize
from onnx_factorize.report.inspection import inspect

DATA = {"x": np.zeros((8, 4), np.float32)}


def _graph(nodes, name="g", inputs=True, output="y"):
    x = [helper.make_tensor_value_info("x", 1, ["n", 4])] if inputs else []
    y = helper.make_tensor_value_info(output, 1, ["n", 4])
    weights = [onnx.numpy_helper.from_array(normal(1, 4, 4), "w")] if inputs else []
    return helper.make_graph(nodes, name, x, [y], weights)


def _identity(given, made):
    return helper.make_node("Identity", [given], [made])


def _add(*nodes):
    return [helper.make_node("MatMul", ["x", "w"], ["h"]), *nodes]


def _if(body, output="y"):
    condition = helper.make_node(
        "Constant", [], ["c"], value=onnx.numpy_helper.from_array(np.array(True))
    )
    branches = [_graph(body, n, False, "b") for n in ("then", "other")]
    keys = dict(zip(("then_branch", "else_branch"), branches, strict=True))
    return [condition, helper.make_node("If", ["c"], [output], **keys)]


CIRCLE = [_identity("a", "b"), _identity("b", "a")]
SUM = helper.make_node("Add", ["h", "a"], ["y"])
GRAPHS = {
    "main graph": _add(*CIRCLE, SUM),
    "itself": _add(_identity("a", "a"), SUM),
    "as the weight": [*CIRCLE, helper.make_node("MatMul", ["x", "a"], ["y"])],
    "as the bias": _add(*CIRCLE, helper.make_node("Add", ["h", "b"], ["y"])),
    "nothing reads it": _add(*CIRCLE, _identity("h", "y")),
    "subgraph": _add(*_if(CIRCLE)),
    "nested": _add(*_if(_if(CIRCLE, "b"))),
    "through a subgraph": _add(*_if([_identity("z", "b")]), _identity("y", "z")),
    "through two nodes with weights": [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Add", ["h", "z"], ["s"]),
        helper.make_node("MatMul", ["s", "w"], ["z"]),
        _identity("z", "y"),
    ],
}


def _function(name, nodes):
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    return helper.make_function("own", name, ["x"], ["a"], nodes, opsets)


FUNCTIONS = {
    "a body": [_function("F", CIRCLE)],
    "a subgraph of a body": [_function("F", _if(CIRCLE, "a"))],
    "a function that calls itself": [
        _function("F", [helper.make_node("F", ["x"], ["a"], domain="own")])
    ],
    "two that call each other": [
        _function("F", [helper.make_node("G", ["x"], ["a"], domain="own")]),
        _function("G", [helper.make_node("F", ["x"], ["a"], domain="own")]),
    ],
}


def _model(graph, functions=()):
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    return helper.make_model(graph, opset_imports=opsets, functions=functions, ir_version=8)


CASES = {name: _model(_graph(nodes)) for name, nodes in GRAPHS.items()}
CASES |= {
    name: _model(
        _graph(
            _add(
                helper.make_node("F", ["x"], ["a"], domain="own"),
                helper.make_node("Add", ["h", "a"], ["y"]),
            )
        ),
        functions,
    )
    for name, functions in FUNCTIONS.items()
}


@pytest.mark.parametrize("name", CASES)
def test_a_circle_is_named(name):
    for ask in (lambda model: factorize(model, DATA), inspect):
        with pytest.raises(InputError, match="in a circle"):
            ask(CASES[name])
