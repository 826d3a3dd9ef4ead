"""Queries, keys and values that one product gives to an attention become a product each."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

import numpy as np
import onnx_ir as ir

from ..graph import Namer, register, scopes
from ..graph.builder import before, emit
from ._names import linear_names
from .clean_up import CleanUp
from .linear.operator_spec import MICROSOFT
from .linear.provenance import origin_name
from .linear.sharing import asked_once
from .linear.weights import Origin, origin_of

__all__ = ["UnpackProjections"]

_PARTS = ("q", "k", "v")
_MATRIX = 2


@dataclasses.dataclass(frozen=True)
class _Packed:
    """A product that gives all three.

    Attributes:
        product: The MatMul.
        weight: Its weight, an initializer that nothing else reads.
        add: The Add of its bias, if it has one.
        bias: That bias, likewise.
        attention: What reads them.
        widths: The columns of each.
    """

    product: ir.Node
    weight: ir.Value
    add: ir.Node | None
    bias: ir.Value | None
    attention: ir.Node
    widths: tuple[int, int, int]


class UnpackProjections(ir.passes.InPlacePass):
    """Gives a GroupQueryAttention its queries, keys and values by three MatMuls in place of one.

    The three have ranks of their own then, as where an exporter writes them apart: of queries and
    keys only their products matter, which are far easier to cut than values. They are called after
    the one product, with `.q`, `.k` and `.v` behind its name.

    - The attention reads all three in its first input, as onnxruntime-genai's builder has it.
    - Its first input is a MatMul with an initializer, or an Add of a bias to one, and nothing else
      reads any of these.
    - The product is no part of an operator that was factorized before.
    """

    def __init__(self, only: Collection[str] | None = None) -> None:
        """Initializes the pass.

        Args:
            only: Treat just the products of which a part has one of these names; by default all.
        """
        self._only = only

    @asked_once
    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Runs the pass on the main graph and every subgraph."""
        attentions = [
            node
            for scope, _ in scopes(model.graph)
            for node in scope
            if node.domain == MICROSOFT and node.op_type == "GroupQueryAttention"
        ]
        if not attentions:
            return ir.passes.PassResult(model, modified=False)
        names, namer, modified = linear_names(model), Namer(model), False
        for attention in attentions:
            packed = _packed(model, attention)
            if packed is None:
                continue
            parts = [f"{names[packed.product]}.{part}" for part in _PARTS]
            if self._only is None or not set(self._only).isdisjoint(parts):
                _unpack(model, namer, packed, parts)
                modified = True
        return ir.passes.PassResult(model, modified=modified)


def _packed(model: ir.Model, attention: ir.Node) -> _Packed | None:
    """The product that gives an attention all it reads; None where that is not so."""
    given = attention.inputs[0]
    if given is None or any(value is not None for value in attention.inputs[1:3]):
        return None
    product, add, bias = given.producer(), None, None
    if product is not None and (product.domain, product.op_type) == ("", "Add"):
        add, (given, bias) = product, product.inputs
        if given is None or bias is None or not _is_own(model, bias) or not _is_read_once(add):
            return None
        product = given.producer()
    if product is None or (product.domain, product.op_type) != ("", "MatMul"):
        return None
    weight = product.inputs[1]
    if weight is None or not _is_read_once(product) or origin_name(product) is not None:
        return None
    if not _is_own(model, weight):
        return None
    heads = attention.attributes.get_int("num_heads", 0)
    keys = attention.attributes.get_int("kv_num_heads", 0)
    shape = weight.shape.numpy() if weight.shape is not None else ()
    total = heads + 2 * keys
    if len(shape) != _MATRIX or total < 1 or shape[1] % total:
        return None
    if bias is not None and (bias.shape is None or bias.shape.numpy() != shape[1:]):
        return None
    head = shape[1] // total
    return _Packed(product, weight, add, bias, attention, (heads * head, keys * head, keys * head))


def _is_own(model: ir.Model, value: ir.Value) -> bool:
    """Tells whether a value is an initializer that no caller replaces, of one reader."""
    origin = origin_of(model, value)
    plain = isinstance(origin, Origin) and origin.root is value and not origin.shared
    return plain and value.producer() is None


def _is_read_once(node: ir.Node) -> bool:
    (output,) = node.outputs
    return len(output.uses()) == 1 and not output.is_graph_output()


def _unpack(model: ir.Model, namer: Namer, packed: _Packed, parts: list[str]) -> None:
    product, add, attention = packed.product, packed.add, packed.attention
    start = 0
    for index, (name, width) in enumerate(zip(parts, packed.widths, strict=True)):
        columns, start = slice(start, start + width), start + width
        suffix = f".{_PARTS[index]}"
        weight = _slice(model, namer, packed.weight, columns, suffix)
        output = namer(f"{product.outputs[0].name}{suffix}")
        value = emit(
            before(attention), "MatMul", [product.inputs[0], weight], name=name, output=output
        )
        part = value.producer()
        assert part is not None
        part.metadata_props.update(product.metadata_props)
        part.doc_string = product.doc_string
        _declare(value, product.outputs[0], width)
        if add is not None and packed.bias is not None:
            bias = _slice(model, namer, packed.bias, columns, suffix)
            output = namer(f"{add.outputs[0].name}{suffix}")
            value = emit(
                before(attention),
                "Add",
                [value, bias],
                name=namer(f"{add.name}{suffix}"),
                output=output,
            )
            _declare(value, add.outputs[0], width)
        attention.replace_input_with(index, value)
    for node in (add, product):
        if node is not None:
            assert node.graph is not None
            node.graph.remove(node, safe=True)
    left = [value for value in (packed.weight, packed.bias) if value is not None]
    CleanUp(only=left)(model)


def _slice(model: ir.Model, namer: Namer, whole: ir.Value, columns: slice, suffix: str) -> ir.Value:
    """Columns of a constant: taken when they are read, and never kept."""
    tensor = whole.const_value
    assert tensor is not None
    shape = ir.Shape([*tensor.shape.numpy()[:-1], columns.stop - columns.start])

    def contents() -> ir.TensorProtocol:
        return ir.tensor(np.ascontiguousarray(tensor.numpy()[..., columns]), dtype=tensor.dtype)

    name = namer(f"{whole.name}{suffix}")
    lazy = ir.LazyTensor(contents, dtype=tensor.dtype, shape=shape, name=name)
    value = ir.Value(name=name, shape=shape, type=ir.TensorType(tensor.dtype), const_value=lazy)
    home = whole.graph
    register(model, home if isinstance(home, ir.Graph) else model.graph, value)
    return value


def _declare(value: ir.Value, whole: ir.Value, width: int) -> None:
    value.type = whole.type
    if whole.shape is not None:
        value.shape = ir.Shape([*whole.shape.dims[:-1], width])
