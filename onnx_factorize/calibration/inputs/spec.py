"""One input of a model: its type and its shape."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx_ir as ir

from ...errors import InputError

__all__ = ["InputSpec", "spec_of"]


@dataclasses.dataclass(frozen=True)
class InputSpec:
    """One input of the model.

    Attributes:
        name: Its name.
        dtype: The numpy type of its elements.
        dims: One entry an axis: a length, a symbol, or None where nothing is declared. None in
            place of the tuple means that not even the number of axes is declared.
        shared: Whether all samples that run at once share it: then it has no row for each.
    """

    name: str
    dtype: np.dtype[np.generic]
    dims: tuple[int | str | None, ...] | None
    shared: bool = False

    def describe(self) -> str:
        """The input as a user would write it: `float32[batch, 3, 224, 224]`."""
        if self.dims is None:
            return f"{self.dtype}"
        return f"{self.dtype}[{', '.join('?' if d is None else str(d) for d in self.dims)}]"

    def is_column(self, shape: tuple[int, ...]) -> bool:
        """Tells whether an array without the last axis, of length 1, is a column of a table."""
        return self.dims is not None and self.dims[1:] == (1,) and len(shape) == 1 and shape[0] != 1


def spec_of(value: ir.Value) -> InputSpec:
    """The shape and type that an input of a graph wants.

    Raises:
        InputError: Something else than a tensor.
    """
    kind = value.type.elem_type if isinstance(value.type, ir.OptionalType) else value.type
    if not isinstance(kind, ir.TensorType) or value.dtype is None:
        raise InputError(
            f"The model's input '{value.name}' is not a tensor, and only tensors can be "
            "read from calibration data."
        )
    dims = None if value.shape is None else tuple(_dim(d) for d in value.shape)
    text = value.dtype == ir.DataType.STRING
    dtype: np.dtype[np.generic] = np.dtype(np.str_) if text else np.dtype(value.dtype.numpy())
    assert value.name is not None
    return InputSpec(value.name, dtype, dims)


def _dim(dim: int | ir.SymbolicDim) -> int | str | None:
    """A dimension as declared; lengths below one are an exporter's way to say "any"."""
    if isinstance(dim, int):
        return dim if dim > 0 else None
    return str(dim.value) if dim.value not in (None, "", "?") else None
