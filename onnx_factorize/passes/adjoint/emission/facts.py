"""Facts about the values of a graph: types, ranks, dimensions, small integer contents."""

from __future__ import annotations

import itertools
from collections.abc import Hashable

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnx_factorize.passes.adjoint.emission.errors import NoRuleError

Dim = Hashable
"""A static dimension (int), or a token; equal tokens are equal at run time."""

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

    def __init__(self, opset: int = 1) -> None:
        """Begin with nothing known.

        Args:
            opset: The opset of the model's standard operators.
        """
        self.opset = opset
        self.dims: dict[ir.Value, tuple[Dim, ...]] = {}
        self.dtypes: dict[ir.Value, ir.DataType] = {}
        self.ints: dict[ir.Value, tuple[Dim, ...]] = {}
        self._numbers = itertools.count(1)

    def fresh(self) -> Dim:
        """Return a token of a dimension that nothing is known of."""
        return ("?", next(self._numbers))

    def apart(self) -> Facts:
        """Return facts of other values, none so far, whose tokens these may take over."""
        other = Facts(self.opset)
        other._numbers = self._numbers
        return other

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
