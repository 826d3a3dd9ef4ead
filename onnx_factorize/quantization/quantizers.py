"""Fewer bits on top of fewer parameters: onnxruntime's own quantizers, factors included.

Where matrix products do most of the work, int8 is dynamic: weights are stored in 8 bits, and
activations are quantized as they come. Where convolutions do, it is static (QDQ): the ranges of the
activations are measured on the calibration data. int4 stores the weights of matrix products in
blocks of 32 with a scale each, and computes in float. fp16 stores and computes everything but
inputs and outputs in half precision.
"""

from __future__ import annotations

import logging
import pathlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import onnx
import onnx.version_converter
import onnx_ir as ir

from ..calibration import CalibrationData
from ..errors import InputError
from ..files import model_io
from ..foreign import attempt, reading
from ..passes import DRAWS, OperatorSpec, every_operator, spec_of
from .four_bits import BYTES_PER_WEIGHT, in_four_bits
from .half import in_half
from .rounding import ROTATED, Rounding

__all__ = ["SAMPLES", "Bits", "Mode", "bytes_per_weight", "mode_of", "quantize"]

Bits = Literal["int8", "int4", "fp16"]
Mode = Literal["dynamic", "static", "weights", "half"]

# Samples that settle the ranges of activations.
SAMPLES = 128

# The opset since which DequantizeLinear has an axis, and so each channel a scale of its own.
_PER_CHANNEL = 13

# Parts of the names of operators of few bits.
_FEW_BITS = ("QuantizeLinear", "DequantizeLinear", "Integer", "NBits", "BlockQuantized")


def mode_of(bits: str, model: ir.Model, macs: Mapping[str, int]) -> Mode:
    """The mode in which a model is best quantized.

    Args:
        bits: To how many.
        model: The model.
        macs: Node name to its multiplications, in this model.
    """
    if bits == "int4":
        return "weights"
    if bits == "fp16":
        return "half"
    specs = ((node.name, spec_of(node)) for node in model.graph.all_nodes())
    convolutions = {name for name, spec in specs if spec is not None and spec.is_convolution}
    convolved = sum(work for name, work in macs.items() if name in convolutions)
    return "static" if 2 * convolved > sum(macs.values()) else "dynamic"


def _treated(mode: Mode) -> list[str]:
    """The operators that are treated.

    What lies between operators with weights stays in float: rounding sums, gates and softmaxes as
    well loses far more than it saves (a text recogniser: three times the divergence).
    """
    return [spec.op_type for spec in every_operator() if mode in spec.quantized]


def bytes_per_weight(mode: Mode, spec: OperatorSpec, stored: float) -> float:
    """The bytes of one weight of an operator once it is quantized, about.

    Args:
        mode: See `mode_of`.
        spec: The operator.
        stored: What one takes now.
    """
    if mode == "half":
        return min(stored, 2.0)
    if mode not in spec.quantized:
        return stored
    return min(stored, BYTES_PER_WEIGHT if mode == "weights" else 1.0)


def quantize(
    model: ir.Model,
    mode: Mode,
    data: CalibrationData,
    advance: Callable[[int], None] = lambda _: None,
    rounding: Rounding = ROTATED,
) -> ir.Model:
    """Quantizes a model.

    Args:
        model: The model; it is not changed.
        mode: See `mode_of`.
        data: What ranges are measured on, if they are.
        advance: Called after each batch with its number of samples.
        rounding: How its weights are rounded.

    Raises:
        InputError: The model is too large, or onnxruntime's quantizer refuses it or finds nothing.
    """
    if model_io.weight_bytes(model) > model_io.PROTOBUF_LIMIT:
        raise InputError("A model above 2 GB cannot be quantized by this version.")
    model = rounding.prepared(model)
    proto = ir.to_proto(model_io.inlined(model))
    # The quantizers report their progress and their advice to the root logger.
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    said = "onnxruntime cannot quantize the model"
    try:
        with reading(said), tempfile.TemporaryDirectory() as folder:
            if mode == "half":
                quantized = in_half(proto, rounding.kept)
            elif mode == "weights":
                quantized = in_four_bits(proto, model, rounding.moments)
            else:
                quantized = _run(mode, proto, pathlib.Path(folder), data, advance, rounding)
    finally:
        logging.disable(disabled)
    if mode != "half" and _few_bits(quantized) == _few_bits(proto):
        raise InputError(
            "The quantizer of onnxruntime finds nothing to treat in this model (it needs constant "
            "weights, and does not reach into If, Loop and Scan); leave out --quantize."
        )
    _restore_imports(quantized, proto, converted=mode == "static")
    result = ir.from_proto(quantized)
    result.metadata_props.update(model.metadata_props)
    return result


def _run(
    mode: Mode,
    proto: onnx.ModelProto,
    folder: pathlib.Path,
    data: CalibrationData,
    advance: Callable[[int], None],
    rounding: Rounding,
) -> onnx.ModelProto:
    """Calls the quantizer of 8 bits."""
    # Imported here: it takes a second.
    from onnxruntime.quantization import (  # noqa: PLC0415 - slow to import
        QuantType,
        quantize_dynamic,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process  # noqa: PLC0415 - slow to import

    source, prepared, target = (folder / f"{name}.onnx" for name in ("a", "b", "c"))
    if mode == "static":
        proto = _with_axis(proto)
    source.write_bytes(proto.SerializeToString())
    # Symbolic inference would need sympy, and gives these quantizers nothing that they need.
    quant_pre_process(source, prepared, skip_symbolic_shape=True)
    if mode == "dynamic":
        quantize_dynamic(
            prepared,
            target,
            op_types_to_quantize=_treated("dynamic"),
            per_channel=True,
            reduce_range=rounding.reduced,
            weight_type=QuantType.QInt8,
            extra_options={"MatMulConstBOnly": True},
        )
    else:

        def static(reader: Any, **extra: bool) -> None:
            quantize_static(
                prepared,
                target,
                reader,
                op_types_to_quantize=_treated("static"),
                per_channel=_opset(proto) >= _PER_CHANNEL,
                reduce_range=rounding.reduced,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                extra_options=extra,
            )

        try:
            static(_reader(data, advance))
        except ValueError:
            # Its correction of small scales fails on biases that are not vectors.
            static(_reader(data, lambda _: None), QDQDisableWeightAdjustForInt32Bias=True)
    return onnx.load(target)


def _with_axis(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model in an opset that has scales for each channel, where it can be converted."""
    if _opset(proto) >= _PER_CHANNEL:
        return proto
    # Without, one scale for a weight remains.
    return attempt(lambda: onnx.version_converter.convert_version(proto, _PER_CHANNEL)) or proto


def _opset(proto: onnx.ModelProto) -> int:
    return max((int(each.version) for each in proto.opset_import if each.domain == ""), default=1)


def _nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    for node in nodes:
        yield node
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                yield from _nodes(graph.node)


def _few_bits(proto: onnx.ModelProto) -> int:
    """Number of operators of few bits."""
    types = [node.op_type for node in _nodes(proto.graph.node)]
    return sum(any(part in name for part in _FEW_BITS) for name in types)


def _restore_imports(
    quantized: onnx.ModelProto, source: onnx.ModelProto, *, converted: bool
) -> None:
    """Leaves out the domains that nothing uses, and a version that was raised for no node."""
    known = {each.domain: each.version for each in source.opset_import}
    bodies = [quantized.graph, *quantized.functions]
    used = {*known} | {node.domain for body in bodies for node in _nodes(body.node)}
    versions = {each.domain: each.version for each in quantized.opset_import}
    del quantized.opset_import[:]
    for domain, version in versions.items():
        if domain in used:
            kept = version if converted else known.get(domain, version)
            quantized.opset_import.append(onnx.helper.make_opsetid(domain, kept))


def _reader(data: CalibrationData, advance: Callable[[int], None]) -> Any:
    """Calibration data as the static quantizer reads them."""
    from onnxruntime.quantization import CalibrationDataReader  # noqa: PLC0415 - slow to import

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
    # The quantizer looks at every value.
    taken = None if data.footprint is None else data.footprint.every
    for batch in data.micro_batches("calibration", only, taken):
        yield {name: array for name, array in batch.feeds.items() if name != DRAWS}
        advance(batch.samples)
