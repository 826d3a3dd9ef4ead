"""Random weights that all models of a kit share: times of kernels do not depend on values."""

from __future__ import annotations

import pathlib

import numpy as np
import onnx_ir as ir

from ..files import model_io

__all__ = ["RandomWeights"]

# Other tensors stay in their models, and so do vectors: scales and shapes are among them.
_TYPES = (ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.FLOAT16, ir.DataType.BFLOAT16)

# Weights begin at multiples of so many bytes, where runtimes can map them.
_PAGE = 4096

# Numbers that are drawn at a time.
_DRAWN = 1 << 20


class RandomWeights:
    """Files of random numbers, one for each type, from which models take their weights.

    No two weights of one model overlap, those of different models do: a kit takes no more room than
    its largest model. No weight of the user's leaves the machine.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        self._lent: dict[ir.DataType, int] = {}

    def lend(self, model: ir.Model) -> ir.Model:
        """A copy of a model whose large weights of floating point are in the files.

        Args:
            model: The model; it is not changed.
        """
        copy = model.clone()
        ends: dict[ir.DataType, int] = {}
        for value in copy.graph.initializers.values():
            tensor = value.const_value
            if tensor is None or not _large(tensor):
                continue
            dtype, start = tensor.dtype, ends.get(tensor.dtype, 0)
            value.const_value = ir.ExternalTensor(
                _name(dtype),
                start,
                tensor.nbytes,
                dtype,
                shape=ir.Shape(tensor.shape.numpy()),
                name=value.name or "",
                base_dir=self._folder,
            )
            ends[dtype] = -(-(start + tensor.nbytes) // _PAGE) * _PAGE
        for dtype, end in ends.items():
            self._lent[dtype] = max(end, self._lent.get(dtype, 0))
        return copy

    def write(self) -> list[str]:
        """Writes the files, and returns their names."""
        for dtype, size in self._lent.items():
            rng = np.random.default_rng(0)
            with (self._folder / _name(dtype)).open("wb") as file:
                left = size // int(dtype.itemsize)
                while left > 0:
                    drawn = rng.standard_normal(min(left, _DRAWN), np.float32) / 16
                    file.write(drawn.astype(dtype.numpy()).tobytes())
                    left -= len(drawn)
        return [_name(dtype) for dtype in self._lent]


def _large(tensor: ir.TensorProtocol) -> bool:
    matrix = sum(length != 1 for length in tensor.shape.numpy()) > 1
    return matrix and tensor.dtype in _TYPES and tensor.nbytes > model_io.INLINE


def _name(dtype: ir.DataType) -> str:
    return f"weights.{dtype.name.lower()}.bin"
