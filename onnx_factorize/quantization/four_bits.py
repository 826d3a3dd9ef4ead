"""Weights of matrix products in 4 bits: blocks of numbers with a scale each."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import onnx
import onnx_ir as ir

from ..arrays import AnyArray, Array
from .gptq import round_jointly
from .operand_moments import OperandMoments

__all__ = ["BLOCK", "BYTES_PER_WEIGHT", "in_four_bits"]

# Weights that share a scale.
BLOCK = 32

# Half a byte and its share of a scale of 32 bit.
BYTES_PER_WEIGHT = 0.5 + 4 / BLOCK

# What the quantizer calls the operator, and what it adds to the name of a weight.
_PRODUCT, _SUFFIX = "MatMulNBits", "_Q4"


@dataclasses.dataclass(frozen=True)
class _Rounded:
    """A weight in 4 bits.

    Attributes:
        codes: The multiples of its scales, each and 8 in four bits, shape (N, blocks, BLOCK / 2).
        scales: Shape (N, blocks).
        weight: What was rounded, shape (K, N).
        reads: The names of the values that it multiplies.
    """

    codes: onnx.TensorProto
    scales: AnyArray
    weight: AnyArray
    reads: tuple[str, ...]

    @property
    def bytes(self) -> int:
        """Bytes of the moments of what it multiplies."""
        return 8 * len(self.weight) ** 2 * len(self.reads)

    def fit(self, moment: Array) -> None:
        """Rounds it anew, to the same scales, for what it multiplies; in place.

        Args:
            moment: The second moment of that, shape (K, K).
        """
        rows, columns = self.weight.shape
        scales = self.scales.astype(np.float64).reshape(columns, -1).T
        steps = scales.repeat(BLOCK, axis=0)[:rows]
        found = round_jointly(self.weight.astype(np.float64), moment, steps)
        packed = onnx.numpy_helper.to_array(self.codes)
        places = np.stack([packed & 15, packed >> 4], -1).reshape(columns, -1)
        places[:, :rows] = found.T + 8  # what is behind the last row is multiplied by nothing
        pairs = places.reshape(*packed.shape, 2)
        low, high = pairs[..., 0], pairs[..., 1]
        made = onnx.numpy_helper.from_array((low | high << 4).astype(np.uint8), self.codes.name)
        self.codes.CopyFrom(made)


def in_four_bits(
    proto: onnx.ModelProto, model: ir.Model, moments: OperandMoments | None
) -> onnx.ModelProto:
    """The constant right operands of MatMul and Gemm, and the tables of Gather, in 4 bits.

    Args:
        proto: The model; it is not changed.
        model: The same, to be run.
        moments: What gathers the moments that weights are fitted to; None for the nearest levels.
    """
    from onnxruntime.quantization.matmul_nbits_quantizer import (  # noqa: PLC0415 - slow to import
        MatMulNBitsQuantizer,
    )
    from onnxruntime.quantization.onnx_model import ONNXModel  # noqa: PLC0415 - slow to import

    copied = onnx.ModelProto()
    copied.CopyFrom(proto)
    products = ONNXModel(copied)
    products.replace_gemm_with_matmul()
    weights = {} if moments is None else _operands(products.model.graph)
    quantizer = MatMulNBitsQuantizer(  # to 4 bits, unless it is told otherwise
        products.model,
        block_size=BLOCK,
        is_symmetric=True,
        accuracy_level=4,
        op_types_to_quantize=("MatMul", "Gather"),
    )
    quantizer.process()
    result: onnx.ModelProto = quantizer.model.model
    if moments is not None:
        for part in _parts(_rounded(result.graph, weights), moments.room):
            widths = {name: len(each.weight) for each in part for name in each.reads}
            found = moments.gather(model, widths)
            for each in part:
                if all(name in found for name in each.reads):
                    each.fit(np.sum([found[name] for name in each.reads], axis=0))
    return result


def _operands(graph: onnx.GraphProto) -> dict[str, AnyArray]:
    """The constants on the right of products, as matrices, by name."""
    wanted = {node.input[1] for node in graph.node if node.op_type == "MatMul"}
    return {
        tensor.name: onnx.numpy_helper.to_array(tensor).reshape(tensor.dims[-2:])
        for tensor in graph.initializer
        if tensor.name in wanted and len(tensor.dims) > 1 and set(tensor.dims[:-2]) <= {1}
    }


def _rounded(graph: onnx.GraphProto, weights: Mapping[str, AnyArray]) -> list[_Rounded]:
    """The weights of the main graph that were rounded, in its order."""
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    reads: dict[tuple[str, str], list[str]] = {}
    for node in graph.node:
        if node.op_type == _PRODUCT and node.input[1].removesuffix(_SUFFIX) in weights:
            reads.setdefault((node.input[1], node.input[2]), []).append(node.input[0])
    return [
        _Rounded(
            tensors[codes],
            onnx.numpy_helper.to_array(tensors[scales]),
            weights[codes.removesuffix(_SUFFIX)],
            tuple(dict.fromkeys(values)),
        )
        for (codes, scales), values in reads.items()
    ]


def _parts(every: Sequence[_Rounded], room: float) -> Iterator[list[_Rounded]]:
    """Yields weights in parts whose moments fit in so many bytes, one at least."""
    part: list[_Rounded] = []
    for each in every:
        if part and sum(one.bytes for one in part) + each.bytes > room:
            yield part
            part = []
        part.append(each)
    if part:
        yield part
