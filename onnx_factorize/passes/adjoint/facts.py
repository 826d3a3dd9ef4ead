"""What is certain about the values of a graph: types, ranks, dimensions, small integer contents.

Declared shapes of intermediate values may be stale and symbolic names may lie, but onnxruntime
enforces the static dimensions of graph inputs. So everything is inferred anew: ranks and
static dimensions by onnx, and equality of dynamic dimensions by tokens (expressions over the
dimensions that nothing is known of), which `dims.py` propagates through the common operators.
Ranks that were seen in runs of the data (see `ObserveRanks`) serve where inference is silent.
"""

from __future__ import annotations

import logging
from collections.abc import Hashable, Iterator

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from onnx_ir.passes.common import ShapeInferencePass

from onnx_factorize.passes.adjoint.registry import NoRuleError

# In the meta of a value: its rank and its type, where runs of the data showed them.
RANK, DTYPE = "observed rank", "observed type"

Dim = Hashable
"""A static dimension (int), or a token; equal tokens are equal at run time."""

_LOGGER = logging.getLogger("onnx_ir.passes.common.shape_inference")
FLOATS = frozenset(
    {
        ir.DataType.FLOAT,
        ir.DataType.DOUBLE,
        ir.DataType.FLOAT16,
        ir.DataType.BFLOAT16,
    }
)


class Facts:
    """Facts by value, valid for every input that the model accepts."""

    def __init__(self) -> None:
        self.dims: dict[ir.Value, tuple[Dim, ...]] = {}
        self.dtypes: dict[ir.Value, ir.DataType] = {}
        self.ints: dict[ir.Value, tuple[Dim, ...]] = {}
        self._fresh = 0

    def fresh(self) -> Dim:
        """Return a token of a dimension that nothing is known of."""
        self._fresh += 1
        return ("?", self._fresh)

    # Questions.

    def dtype(self, value: ir.Value) -> ir.DataType | None:
        """Return a value's element type, if known."""
        return self.dtypes.get(value, value.dtype)

    def is_float(self, value: ir.Value) -> bool:
        """Tell whether a value may carry a gradient."""
        dtype = self.dtype(value)
        return dtype is None or dtype in FLOATS

    def rank_or_none(self, value: ir.Value) -> int | None:
        """Return a value's rank, if known."""
        dims = self.dims.get(value)
        return None if dims is None else len(dims)

    def rank(self, value: ir.Value) -> int:
        """Return a value's rank.

        Raises:
            NoRuleError: It is unknown.
        """
        dims = self.dims.get(value)
        if dims is None:
            raise NoRuleError(f"the rank of {value.name!r} is unknown")
        return len(dims)

    def static(self, value: ir.Value, axis: int) -> int | None:
        """Return a dimension if it is static."""
        dims = self.dims.get(value)
        if dims is None:
            return None
        dim = dims[axis]
        return dim if isinstance(dim, int) else None

    def same_shape(self, a: ir.Value, b: ir.Value) -> bool:
        """Tell whether two values certainly have one shape."""
        return a is b or (a in self.dims and self.dims[a] == self.dims.get(b))

    def array(self, value: ir.Value | None) -> npt.NDArray[np.generic] | None:
        """Return the contents of a constant, if it is one."""
        if value is None:
            return None
        tensor = ir.convenience.get_const_tensor(value)
        return None if tensor is None else tensor.numpy()

    def is_constant(self, value: ir.Value | None) -> bool:
        """Tell whether a value is an initializer or a Constant."""
        return value is not None and ir.convenience.get_const_tensor(value) is not None

    # Collection.

    def learn(self, value: ir.Value, shape: ir.Shape | None, dtype: ir.DataType | None) -> None:
        """Record inferred knowledge of a value; symbolic dimensions become fresh tokens."""
        if dtype is not None:
            self.dtypes[value] = dtype
        if shape is not None:
            self.dims[value] = tuple(
                dim if isinstance(dim, int) and dim >= 0 else self.fresh() for dim in shape.dims
            )

    def learn_constant(self, value: ir.Value) -> None:
        """Record the shape and, if it is small and integer, the contents of a constant."""
        tensor = ir.convenience.get_const_tensor(value)
        if tensor is None:
            return
        self.dtypes[value] = tensor.dtype
        shape = tuple(int(dim) for dim in tensor.shape.numpy())
        self.dims[value] = shape
        if tensor.dtype in (ir.DataType.INT64, ir.DataType.INT32) and tensor.size <= 64:
            self.ints[value] = tuple(int(i) for i in tensor.numpy().reshape(-1))


def infer(model: ir.Model) -> Facts:
    """Collect the facts of a model's values, subgraphs included."""
    from onnx_factorize.passes.adjoint import dims  # noqa: PLC0415 - dims builds on Facts

    facts = Facts()
    copy = model.clone()
    for value in copy.graph.inputs:
        if value.shape is not None:  # some exporters write -1 for a dynamic dimension
            sizes = [None if isinstance(dim, int) and dim < 0 else dim for dim in value.shape]
            value.shape = ir.Shape(sizes)
    for graph in copy.graphs():
        for node in graph:
            for value in node.outputs:
                value.shape = None
                if RANK in value.meta:  # seen in runs, where inference was silent
                    value.shape = ir.Shape([None] * value.meta[RANK])
                    dtype = value.meta.get(DTYPE, value.dtype) or ir.DataType.FLOAT
                    value.type = ir.TensorType(dtype)
    level = _LOGGER.level
    _LOGGER.setLevel(logging.ERROR)
    try:
        ShapeInferencePass(check_type=False, strict_mode=False, data_prop=True)(copy)
    finally:
        _LOGGER.setLevel(level)
    for graph, inferred in zip(model.graphs(), copy.graphs(), strict=True):
        for value, twin in zip(_values(graph), _values(inferred), strict=True):
            facts.learn(value, twin.shape, twin.dtype)
            facts.learn_constant(value)
    dims.propagate(model.graph, facts)
    return facts


def correct(model: ir.Model, facts: Facts) -> None:
    """Drop declared dimensions of computed values that inference does not confirm.

    onnxruntime folds Shape of a value into a constant by its declared shape, even a stale one.
    """
    for graph in model.graphs():
        for node in graph:
            for value in node.outputs:
                if value.shape is None:
                    continue
                dims = facts.dims.get(value)
                if dims is None or len(dims) != len(value.shape):
                    value.shape = None
                    continue
                value.shape = ir.Shape(
                    [
                        dim if isinstance(dim, int) else (None if isinstance(old, int) else old)
                        for dim, old in zip(dims, value.shape, strict=True)
                    ]
                )


def _values(graph: ir.Graph) -> Iterator[ir.Value]:
    yield from graph.inputs
    yield from (v for v in graph.initializers.values() if not v.is_graph_input())
    for node in graph:
        yield from node.outputs
