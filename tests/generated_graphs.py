"""Graphs around one drawn operator: where its weight is, where it stands, what is beside it."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import onnx
import onnx.helper as oh
from builders import Array, normal, run
from generated_operators import OPERATORS, Operator
from hypothesis import strategies as st

PLACEMENTS = (
    "initializer",
    "constant",
    "identity",
    "constant, identity",
    "transpose",
    "reshape",
    "flatten",
    "squeeze",
    "unsqueeze",
    "cast",
    "transpose, reshape, identity",
)
CONTAINERS = ("main", "if", "if, captured", "function", "loop", "scan")
NEWEST_OPSET = 26  # of onnxruntime 1.32
NEWEST_IR = 13


@dataclasses.dataclass
class Graph:
    """What was drawn; `proto(weight)` is the model with that weight."""

    kind: str
    operator: Operator
    placement: str
    container: str
    dtype: Any
    opset: int
    ir_version: int
    node_name: str
    decoration: str
    declared: str
    declared_rank: int | None = None

    def weight(self) -> Array:
        """The weight that the operator sees."""
        return normal(1, *self.operator.weight).astype(self.dtype)

    def feeds(self) -> dict[str, Array]:
        """Inputs of the model."""
        feeds = {"x": self._x()}
        if self.container.startswith("if"):
            feeds["cond"] = np.array(True)
            feeds["other"] = np.zeros((1,) * self.rank(), self.dtype)
        if self.container == "loop":
            feeds |= {"n": np.array(2, np.int64), "cond": np.array(True)}
        if self.decoration == "strings":
            feeds["text"] = np.array(["a", "b"], object)
        return feeds

    def _x(self) -> Array:
        if self.operator.indices:
            return np.random.default_rng(2).integers(0, self.operator.indices, self.operator.x)
        return normal(2, *self.operator.x).astype(self.dtype)

    @property
    def _element_of_x(self) -> int:
        return int(oh.np_dtype_to_tensor_dtype(self._x().dtype))

    def rank(self) -> int:
        """Axes of what the operator gives."""
        if self.declared_rank is None:
            plain = dataclasses.replace(self, container="main", decoration="none", declared_rank=1)
            self.declared_rank = run(plain.proto(self.weight()), {"x": self._x()})[0].ndim
        return self.declared_rank

    @property
    def treated(self) -> bool:
        """Whether the operator must be found to be a target."""
        turned = any(a.name == "transA" and a.i for a in self.operator.node.attribute)
        if self.container in ("loop", "scan") and turned and self.operator.node.input[0] == "x":
            return False
        return self.decoration not in ("shared", "is input")

    def proto(self, weight: Array) -> onnx.ModelProto:
        """The model."""
        nodes, initializers = self._weight_nodes(weight)
        node = onnx.NodeProto()
        node.CopyFrom(self.operator.node)
        node.name = self.node_name
        constants = [
            onnx.numpy_helper.from_array(array.astype(self.dtype), name)
            for name, array in self.operator.constants.items()
        ]
        element = oh.np_dtype_to_tensor_dtype(np.dtype(self.dtype))
        x = _info("x", self._element_of_x, len(self.operator.x))
        if self.declared == "shape":
            x = oh.make_tensor_value_info("x", self._element_of_x, self.operator.x)
        inputs, functions = [x], []
        y = _info("y", element, self.rank() + (self.container in ("loop", "scan")))
        if self.container == "main":
            nodes = [*nodes, node]
        else:
            nodes, initializers, inputs, functions = self._contained(
                nodes, initializers, constants, node, x, element
            )
            constants = [] if self.container in ("if", "function") else constants
        outputs = [y]
        self._decorate(nodes, initializers, inputs, outputs, element)
        if self.declared == "wrong":
            for axis in y.type.tensor_type.shape.dim:
                axis.dim_value = 99
        graph = oh.make_graph(nodes, "graph", inputs, outputs, [*initializers, *constants])
        imports = [oh.make_opsetid("", self.opset), oh.make_opsetid("com.microsoft", 1)]
        if functions:
            imports.append(oh.make_opsetid("local", 1))
        model = oh.make_model(
            graph, opset_imports=imports, ir_version=self.ir_version, functions=functions
        )
        model.metadata_props.add(key="licence", value="MIT")
        return model

    def _weight_nodes(self, weight: Array) -> tuple[list[Any], list[Any]]:
        """The nodes behind `w`, and the initializers that they read."""
        root, chain = weight, []
        for part in self.placement.split(", "):
            root, steps = _moved(part, root, self.opset, self.dtype)
            chain += steps
        nodes, initializers = [], []
        first = "w0" if chain else "w"
        tensor = onnx.numpy_helper.from_array(np.ascontiguousarray(root), first)
        if "constant" in self.placement:
            nodes.append(oh.make_node("Constant", [], [first], value=tensor))
        else:
            initializers.append(tensor)
        for index, (op_type, extra, attributes) in enumerate(reversed(chain)):
            inputs = [f"w{index}"]
            if extra is not None:
                initializers.append(onnx.numpy_helper.from_array(extra, f"e{index}"))
                inputs.append(f"e{index}")
            output = "w" if index == len(chain) - 1 else f"w{index + 1}"
            nodes.append(oh.make_node(op_type, inputs, [output], **attributes))
        return nodes, initializers

    def _contained(self, nodes, initializers, constants, node, x, element):
        """The nodes of the main graph, its initializers and inputs, and functions."""
        if self.container == "function":
            body = [
                *(oh.make_node("Constant", [], [t.name], value=t) for t in constants),
                *nodes,
                node,
            ]
            free = [t.name for t in initializers]
            imports = [oh.make_opsetid("", self.opset), oh.make_opsetid("com.microsoft", 1)]
            function = oh.make_function("local", "block", ["x", *free], ["y"], body, imports)
            call = oh.make_node("block", ["x", *free], ["y"], domain="local", name="call")
            return [call], initializers, [x], [function]
        if self.container.startswith("if"):
            inside = "captured" not in self.container
            y = _info("y_then", element, self.rank())
            node.output[0] = "y_then"
            other = _info("y_else", element, self.rank())
            then = oh.make_graph(
                [*(nodes if inside else []), node],
                "then",
                [],
                [y],
                [*initializers, *constants] if inside else constants,
            )
            otherwise = oh.make_graph(
                [oh.make_node("Neg", ["other"], ["y_else"])], "else", [], [other]
            )
            branch = oh.make_node("If", ["cond"], ["y"], then_branch=then, else_branch=otherwise)
            c = oh.make_tensor_value_info("cond", onnx.TensorProto.BOOL, [])
            given = _info("other", element, self.rank())
            outer = ([], []) if inside else (nodes, initializers)
            return [*outer[0], branch], outer[1], [x, c, given], []
        node.output[0] = "step"
        free = _info("step", element, self.rank())
        if self.container == "loop":
            i = oh.make_tensor_value_info("i", onnx.TensorProto.INT64, [])
            go = oh.make_tensor_value_info("go", onnx.TensorProto.BOOL, [])
            on = oh.make_tensor_value_info("on", onnx.TensorProto.BOOL, [])
            body = oh.make_graph(
                [oh.make_node("Identity", ["go"], ["on"]), node], "body", [i, go], [on, free]
            )
            # Before opset 11 a Loop must carry a value.
            i0 = [] if self.opset >= 11 else ["n"]
            y0 = [] if self.opset >= 11 else ["last"]
            if i0:
                body.input.append(oh.make_tensor_value_info("v", onnx.TensorProto.INT64, []))
                body.node.append(oh.make_node("Identity", ["v"], ["v2"]))
                body.output.insert(1, oh.make_tensor_value_info("v2", onnx.TensorProto.INT64, []))
            loop = oh.make_node("Loop", ["n", "cond", *i0], [*y0, "y"], body=body)
            extra = [
                oh.make_tensor_value_info("n", onnx.TensorProto.INT64, []),
                oh.make_tensor_value_info("cond", onnx.TensorProto.BOOL, []),
            ]
            return [*nodes, loop], initializers, [x, *extra], []
        whole = _info("piece", self._element_of_x, len(self.operator.x))
        node.input[list(node.input).index("x")] = "piece"
        body = oh.make_graph([node], "body", [whole], [free])
        lift = oh.make_node("Concat", ["x2", "x2"], ["xs"], axis=0)
        if self.opset >= 13:
            initializers.append(onnx.numpy_helper.from_array(np.array([0], np.int64), "zero"))
            spread = oh.make_node("Unsqueeze", ["x", "zero"], ["x2"])
        else:
            spread = oh.make_node("Unsqueeze", ["x"], ["x2"], axes=[0])
        scan = oh.make_node("Scan", ["xs"], ["y"], body=body, num_scan_inputs=1)
        return [*nodes, spread, lift, scan], initializers, [x], []

    def _decorate(self, nodes, initializers, inputs, outputs, element) -> None:
        """Adds what stands beside the operator and must not be harmed."""
        if self.decoration == "strings":
            inputs.append(oh.make_tensor_value_info("text", onnx.TensorProto.STRING, [2]))
            outputs.append(oh.make_tensor_value_info("words", onnx.TensorProto.STRING, [2]))
            nodes.append(oh.make_node("Identity", ["text"], ["words"], name=self.node_name))
        elif self.decoration == "sequence":
            nodes.append(oh.make_node("SequenceConstruct", ["x", "x"], ["several"]))
            nodes.append(oh.make_node("SequenceLength", ["several"], ["count"]))
            outputs.append(oh.make_tensor_value_info("count", onnx.TensorProto.INT64, []))
        elif self.decoration == "optional":
            kind = oh.make_tensor_type_proto(self._element_of_x, None)
            nodes.append(oh.make_node("Optional", ["x"], ["perhaps"], type=kind))
            nodes.append(oh.make_node("OptionalHasElement", ["perhaps"], ["has"]))
            outputs.append(oh.make_tensor_value_info("has", onnx.TensorProto.BOOL, []))
        elif self.decoration == "shared":
            nodes.append(oh.make_node("Neg", [self._shareable()], ["sibling"]))
            outputs.append(_info("sibling", element, len(self.operator.weight)))
        elif self.decoration == "is input":
            tensor = next(t for t in initializers if t.name == self._shareable())
            kind = oh.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            inputs.append(kind)

    def _shareable(self) -> str:
        return "w"


def _moved(part: str, root: Array, opset: int, dtype: Any) -> tuple[Array, list[Any]]:
    """What stands before an operator that moves or converts `root`, and that operator."""
    zero = np.array([0], np.int64)
    at_zero = (zero, {}) if opset >= 13 else (None, {"axes": [0]})
    if part == "identity":
        return root, [("Identity", None, {})]
    if part == "transpose":
        perm = [1, 2, 0, *range(3, root.ndim)] if root.ndim > 2 else [1, 0]
        return root.transpose(np.argsort(perm)), [("Transpose", None, {"perm": perm})]
    if part == "flatten" and root.ndim == 2:
        return root[:, None], [("Flatten", None, {"axis": 1})]
    if part in ("reshape", "flatten"):
        shape = np.array([*root.shape[:-1], -1], np.int64)
        return root.reshape(-1), [("Reshape", shape, {})]
    if part == "squeeze":
        return root[None], [("Squeeze", *at_zero)]
    if part == "unsqueeze" and root.shape[0] == 1:
        return root[0], [("Unsqueeze", *at_zero)]
    if part == "cast":
        element = oh.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return root.astype(np.float16), [("Cast", None, {"to": element})]
    return root, []


def _info(name: str, element: int, rank: int) -> onnx.ValueInfoProto:
    return oh.make_tensor_value_info(name, element, [f"{name}_{axis}" for axis in range(rank)])


def _decorations(container: str, placement: str, opset: int) -> list[str]:
    found = ["none", "none", "strings"]
    if opset >= 11:
        found.append("sequence")
    if opset >= 15:
        found.append("optional")
    if container == "main":
        found.append("shared")
        if placement == "initializer":
            found.append("is input")
    return found


@st.composite
def graphs(draw, kinds=tuple(OPERATORS), containers=CONTAINERS):
    kind = draw(st.sampled_from(kinds))
    operator = draw(OPERATORS[kind])
    dtype = draw(st.sampled_from(operator.types))
    placement = draw(st.sampled_from(PLACEMENTS))
    container = draw(st.sampled_from(containers))
    least = max(
        operator.opset, 9 if container in ("scan",) else 7, 13 if container in ("function",) else 7
    )
    opset = draw(st.integers(least, NEWEST_OPSET))
    ir_version = draw(st.integers(8 if container == "function" else 4, NEWEST_IR))
    declared = draw(st.sampled_from(["shape", "symbols", "wrong"]))
    return Graph(
        kind,
        operator,
        placement,
        container,
        dtype,
        opset,
        ir_version,
        draw(st.sampled_from(["", "node", "a name / with:odd.signs"])),
        draw(st.sampled_from(_decorations(container, placement, opset))),
        declared,
    )
