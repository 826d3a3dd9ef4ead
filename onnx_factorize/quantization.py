"""Fewer bits on top of fewer parameters: onnxruntime's own quantizers, factors included.

Where matrix products do most of the work, int8 is dynamic: weights are stored in 8 bits, and
activations are quantized as they come. Where convolutions do, it is static (QDQ): the ranges of the
activations are measured on the calibration data. int4 stores the weights of matrix products in
blocks of 32 with a scale each, and computes in float.
"""

from __future__ import annotations

import logging
import pathlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir

from . import model_io
from .calibration import CalibrationData
from .errors import InputError

__all__ = ["SAMPLES", "Bits", "Way", "quantize", "way_of"]

Bits = Literal["int8", "int4"]
Way = Literal["dynamic", "static", "weights"]

# Samples that settle the ranges of activations.
SAMPLES = 128

# Weights that share a scale in 4 bits.
_BLOCK = 32

_CONVOLUTIONS = frozenset({"Conv", "ConvTranspose"})


def way_of(bits: Bits, model: ir.Model, macs: Mapping[str, int]) -> Way:
    """How a model is best quantized.

    Args:
        bits: To how many.
        model: The model.
        macs: Node name to its multiplications, in this model.
    """
    if bits == "int4":
        return "weights"
    kinds = {node.name: node.op_type for node in model.graph.all_nodes()}
    convolved = sum(work for name, work in macs.items() if kinds.get(name) in _CONVOLUTIONS)
    return "static" if 2 * convolved > sum(macs.values()) else "dynamic"


def quantize(
    model: ir.Model,
    way: Way,
    data: CalibrationData,
    advance: Callable[[int], None] = lambda _: None,
) -> ir.Model:
    """Quantizes a model.

    Args:
        model: The model; it is not changed.
        way: See `way_of`.
        data: What ranges are measured on, if they are.
        advance: Called after each batch with its number of samples.

    Raises:
        InputError: The model is too large, or onnxruntime's quantizer refuses it.
    """
    if model_io.weight_bytes(model) > model_io.PROTOBUF_LIMIT:
        raise InputError("A model above 2 GB cannot be quantized by this version.")
    proto = ir.to_proto(model_io.inlined(model))
    # The quantizers report their progress and their advice to the root logger.
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with tempfile.TemporaryDirectory() as folder:
            quantized = _run(way, proto, pathlib.Path(folder), data, advance)
    except InputError:
        raise
    except Exception as error:  # their errors have types of all kinds
        said = str(error).strip().split("\n")[0].rstrip(".") or type(error).__name__
        raise InputError(f"onnxruntime cannot quantize the model: {said}.") from error
    finally:
        logging.disable(disabled)
    result = ir.from_proto(quantized)
    result.metadata_props.update(model.metadata_props)
    return result


def _run(
    way: Way,
    proto: onnx.ModelProto,
    folder: pathlib.Path,
    data: CalibrationData,
    advance: Callable[[int], None],
) -> onnx.ModelProto:
    """Calls the quantizer."""
    # Imported here: it takes a second.
    from onnxruntime.quantization import (  # noqa: PLC0415
        QuantType,
        quantize_dynamic,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process  # noqa: PLC0415

    if way == "weights":
        return _in_four_bits(proto)
    source, prepared, target = (folder / f"{name}.onnx" for name in ("a", "b", "c"))
    source.write_bytes(proto.SerializeToString())
    # Symbolic inference would need sympy, and gives these quantizers nothing that they need.
    quant_pre_process(source, prepared, skip_symbolic_shape=True)
    if way == "dynamic":
        quantize_dynamic(
            prepared,
            target,
            op_types_to_quantize=["MatMul", "Gemm", "Gather"],
            per_channel=True,
            weight_type=QuantType.QInt8,
            extra_options={"MatMulConstBOnly": True},
        )
    else:
        quantize_static(
            prepared,
            target,
            _reader(data, advance),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
    return onnx.load(target)


def _in_four_bits(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The constant right operands of MatMul and Gemm in 4 bits."""
    from onnxruntime.quantization.matmul_nbits_quantizer import (  # noqa: PLC0415
        MatMulNBitsQuantizer,
    )
    from onnxruntime.quantization.onnx_model import ONNXModel  # noqa: PLC0415

    products = ONNXModel(proto)
    products.replace_gemm_with_matmul()
    quantizer = MatMulNBitsQuantizer(
        products.model, bits=4, block_size=_BLOCK, is_symmetric=True, accuracy_level=4
    )
    quantizer.process()
    result: onnx.ModelProto = quantizer.model.model
    return result


def _reader(data: CalibrationData, advance: Callable[[int], None]) -> Any:
    """Calibration data as the static quantizer reads them."""
    from onnxruntime.quantization import CalibrationDataReader  # noqa: PLC0415

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        """Yields feeds, then None."""

        def __init__(self) -> None:
            self._feeds = _feeds(data, advance)

        def get_next(self) -> Mapping[str, npt.NDArray[Any]] | None:
            return next(self._feeds, None)

    return Reader()


def _feeds(
    data: CalibrationData, advance: Callable[[int], None]
) -> Iterator[dict[str, npt.NDArray[Any]]]:
    size = min(SAMPLES, data.calibration_samples)
    only = np.zeros(data.calibration_samples, bool)
    only[np.linspace(0, data.calibration_samples - 1, size).round().astype(np.int64)] = True
    for batch in data.batches("calibration", only=only):
        yield dict(batch.feeds)
        advance(batch.samples)
