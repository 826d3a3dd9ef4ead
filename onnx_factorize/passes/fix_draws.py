"""Put numbers that depend on the sample alone in the place of random ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import onnx_ir as ir

from ..graph import Namer, constant, opset, scopes
from ..graph.inline import holding, inline
from ._keyed_numbers import KeyedNumbers
from .adjoint import inference
from .linear.site import Site

__all__ = ["DRAWS", "FixDraws", "fixed_draws", "random_nodes"]

# The input that takes the key of each sample.
DRAWS = "onnx_factorize.draws"

_LIKE = ("RandomNormalLike", "RandomUniformLike", "Bernoulli")
_RANDOM = (*_LIKE, "RandomNormal", "RandomUniform", "Multinomial")

_CONSTANT_OF_SHAPE_SINCE = 9


def random_nodes(model: ir.Model) -> list[str]:
    """The nodes that draw random numbers, as `RandomNormalLike 'noise'`; functions' count too."""
    graphs = [model.graph, *(function.graph for function in model.functions.values())]
    nodes = (node for graph in graphs for scope, _ in scopes(graph) for node in scope)
    return [f"{node.op_type} '{node.outputs[0].name}'" for node in nodes if _is_random(node)]


def fixed_draws(model: ir.Model) -> ir.Model:
    """The model itself where nothing draws, else a copy that `FixDraws` has treated."""
    if not random_nodes(model):
        return model
    fixed = model.clone()
    FixDraws()(fixed)
    return fixed


class FixDraws(ir.passes.InPlacePass):
    """Makes what a model draws a function of its input `DRAWS`, which has a key for each sample.

    - RandomNormal, RandomUniform and their Like forms become hashes (see `KeyedNumbers`) of the
      same shape, type and distribution.
    - Multinomial, Bernoulli and Dropout in training mode compare such numbers with what they are
      given.
    - Calls of functions that draw are inlined; where that is not possible, they go on drawing.

    Two models whose random nodes have the same names draw the same for the same keys, whatever
    else differs between them, how often they run and how samples are batched; onnxruntime itself
    seeds a generator by the place of its node, and goes on with it from run to run. In the body of
    a Scan, which does not count its iterations, each of them draws the same.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Runs the pass on the main graph and every subgraph."""
        if not random_nodes(model):
            return ir.passes.PassResult(model, modified=False)
        inline(model, holding(model, _is_random))
        found = [
            (node, list(_turns(scope, owners)))
            for scope, owners in scopes(model.graph)
            for node in scope
            if _is_random(node)
        ]
        if found:
            self._model, self._names = model, Namer(model)
            self._keys = _keys(model)
            self._facts = inference.infer(model)
            # onnxruntime believes the shapes that are declared, the stale ones too.
            inference.correct(model, self._facts)
        for node, turns in found:
            self._replace(node, turns)
        return ir.passes.PassResult(model, modified=bool(found))

    def _replace(self, node: ir.Node, turns: Sequence[ir.Value]) -> None:
        """Makes numbers, and what the operator makes of them, in the place of a node."""
        name = node.outputs[0].name or ""
        site = Site(self._model, self._names, node, node.name or name)
        numbers = KeyedNumbers(site, name, self._keys, turns)
        if node.op_type == "Dropout":
            self._drop(site, numbers)
        elif node.op_type == "Multinomial":
            site.close(_chosen(site, numbers))
        else:
            site.close(self._drawn(site, numbers))

    def _drawn(self, site: Site, numbers: KeyedNumbers) -> ir.Value:
        """The numbers of a node that draws one for each element."""
        node = site.node
        default = ir.DataType.FLOAT
        if node.op_type in _LIKE:
            like = node.inputs[0]
            assert like is not None
            default = self._facts.dtype(like) or default
        else:
            like = _of_shape(site, node.attributes.get_ints("shape", ()))
        dtype = node.attributes.get_int("dtype", int(default))
        number = node.attributes.get_float
        if node.op_type == "Bernoulli":
            chance = site.op("Cast", like, to=int(ir.DataType.FLOAT))
            drawn = site.op("Less", numbers.uniform(like), chance)
        elif node.op_type.startswith("RandomNormal"):
            drawn = _scaled(site, numbers.normal(like), number("scale", 1.0), number("mean", 0.0))
        else:
            low, high = number("low", 0.0), number("high", 1.0)
            drawn = _scaled(site, numbers.uniform(like), high - low, low)
        return drawn if dtype == drawn.dtype else site.op("Cast", drawn, to=dtype)

    def _drop(self, site: Site, numbers: KeyedNumbers) -> None:
        """Dropout: elements go with the probability of the ratio, and the others grow."""
        node = site.node
        x, ratio, training = (*node.inputs, None)[:3]
        assert x is not None
        single = int(ir.DataType.FLOAT)
        share = _float(site, 0.5) if ratio is None else site.op("Cast", ratio, to=single)
        if constant(training) is None:
            share = site.op("Where", training, share, _float(site, 0.0))
        kept = site.op("Not", site.op("Less", numbers.uniform(x), share))
        left = site.op("Sub", _float(site, 1.0), share)
        dtype = self._facts.dtype(x) or ir.DataType.FLOAT
        grown = site.op("Div", x, site.op("Cast", left, to=int(dtype)))
        zero = site.constant(np.array(0.0), dtype)
        if len(node.outputs) > 1:
            old = node.outputs[1]
            name, old.name = old.name, None
            kept.name, kept.type = name, ir.TensorType(ir.DataType.BOOL)
            ir.convenience.replace_all_uses_with(old, kept, replace_graph_outputs=True)
        site.close(site.op("Where", kept, grown, zero))


def _chosen(site: Site, numbers: KeyedNumbers) -> ir.Value:
    """Multinomial: classes by their logarithms, by the Gumbel-max trick."""
    node = site.node
    draws = node.attributes.get_int("sample_size", 1)
    apart = site.op("Reshape", node.inputs[0], site.integers([0, 1, -1]))
    single = site.op("Cast", apart, to=int(ir.DataType.FLOAT))
    each = site.op("Add", single, site.constant(np.zeros((1, draws, 1)), ir.DataType.FLOAT))
    exponential = site.op("Neg", site.op("Log", numbers.uniform(each)))
    gumbel = site.op("Neg", site.op("Log", exponential))
    best = site.op("ArgMax", site.op("Add", each, gumbel), axis=2, keepdims=0)
    return site.op("Cast", best, to=node.attributes.get_int("dtype", int(ir.DataType.INT32)))


def _is_random(node: ir.Node) -> bool:
    """Tells whether a node draws random numbers."""
    if node.domain != "":
        return False
    if node.op_type != "Dropout":
        return node.op_type in _RANDOM
    training = node.inputs[2] if len(node.inputs) > 2 else None
    known = constant(training)
    return training is not None and (known is None or bool(known.numpy().any()))


def _keys(model: ir.Model) -> ir.Value:
    """The input that takes the keys."""
    for value in model.graph.inputs:
        if value.name == DRAWS:
            return value
    made = ir.Value(name=DRAWS, type=ir.TensorType(ir.DataType.INT64), shape=ir.Shape(["draws"]))
    model.graph.inputs.append(made)
    return made


def _turns(scope: ir.Graph, owners: Sequence[ir.Node]) -> Iterator[ir.Value]:
    """The numbers of the iterations of all Loops around a graph."""
    bodies = [*(owner.graph for owner in owners[1:]), scope]
    for owner, body in zip(owners, bodies, strict=False):
        if owner.op_type == "Loop" and isinstance(body, ir.Graph) and body.inputs:
            yield body.inputs[0]


def _of_shape(site: Site, shape: Sequence[int]) -> ir.Value:
    """A value of some shape, of which nothing else is read."""
    if opset(site.model) < _CONSTANT_OF_SHAPE_SINCE:
        return site.constant(np.zeros(shape), ir.DataType.FLOAT)
    return site.op("ConstantOfShape", site.integers(shape))


def _scaled(site: Site, value: ir.Value, scale: float, shift: float) -> ir.Value:
    if scale != 1:
        value = site.op("Mul", value, _float(site, scale))
    return value if shift == 0 else site.op("Add", value, _float(site, shift))


def _float(site: Site, number: float) -> ir.Value:
    return site.constant(np.array(number), ir.DataType.FLOAT)
