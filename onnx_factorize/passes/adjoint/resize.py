"""Rules of resampling."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from onnx_factorize.passes.adjoint.emission.errors import NoRuleError
from onnx_factorize.passes.adjoint.registry import Cotangents, rule
from onnx_factorize.passes.adjoint.step import Step


@rule("Resize", since=10, spans={11: "the modes that came are those of its own Resize of identity"})
@rule("Upsample", since=7, spans={9: "scales are an attribute or an input: it reads either"})
def _resize(s: Step) -> Cotangents:
    """Resampling is linear and separable: along each axis y = R x, hence x̄ = Rᵀ ȳ.

    R is what the operator makes of an identity matrix, so that every mode and coordinate
    transformation is covered; nearest upsampling by whole factors, as detectors have it, is
    a sum over blocks instead.
    """
    factors = _whole_factors(s)
    if factors is not None:
        return {0: _block_sums(s, factors)}
    return {0: _by_matrices(s)}


def _scales(s: Step) -> list[float] | None:
    if s.node.op_type == "Upsample":
        attr = s.node.attributes.get("scales")
        if attr is not None:
            return list(attr.as_floats())
        index = 1
    else:
        index = 1 if s.e.opset < 11 else 2
    array = s.array(index)
    return None if array is None or not array.size else [float(i) for i in array.reshape(-1)]


def _whole_factors(s: Step) -> list[int] | None:
    """Return the factors of a nearest upsampling in which every element becomes a block."""
    scales = _scales(s)
    if scales is None or s.string("mode", "nearest") != "nearest" or s.integers("axes") is not None:
        return None
    if any(scale != int(scale) or scale < 1 for scale in scales):
        return None
    if s.node.op_type == "Resize" and s.e.opset >= 11:
        transformation = s.string("coordinate_transformation_mode", "half_pixel")
        rounding = s.string("nearest_mode", "round_prefer_floor")
        if (transformation, rounding) not in {
            ("asymmetric", "floor"),
            ("half_pixel", "round_prefer_floor"),
            ("half_pixel", "round_prefer_ceil"),
            ("half_pixel_symmetric", "round_prefer_floor"),
        }:
            return None
    return [int(scale) for scale in scales]


def _block_sums(s: Step, factors: list[int]) -> ir.Value:
    e, x = s.e, s.x()
    shape = e.shape(x)
    view: list[ir.Value] = []
    summed = []
    for axis, factor in enumerate(factors):
        view.append(e.op("Gather", shape, e.ints([axis]), axis=0))
        if factor > 1:
            summed.append(len(view))
            view.append(e.ints([factor]))
    if not summed:
        return s.g
    return e.reduce_sum(e.reshape(s.g, e.concat(view, 0)), summed, keepdims=False)


def _by_matrices(s: Step) -> ir.Value:
    """Multiply by each axis's matrix, made at run time by resampling an identity matrix."""
    e, x = s.e, s.x()
    e.needs(11, "Resize by attributes")
    if s.node.op_type != "Resize" or s.string("coordinate_transformation_mode", "") == (
        "tf_crop_and_resize"
    ):
        raise NoRuleError("this coordinate transformation")
    rank = s.rank(x)
    if s.integers("axes") is not None or rank < 3:
        raise NoRuleError("some axes only")
    if s.integer("antialias", 0) or s.string("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise NoRuleError("antialias or a kept aspect ratio")
    _refuse_channels(s)
    attributes = {name: attr.value for name, attr in s.node.attributes.items()}
    g = s.g
    for axis in range(2, rank):
        if s.facts.dims.get(x, ())[axis] == s.facts.dims.get(s.y, (None,) * rank)[axis]:
            continue
        matrix = _matrix(s, axis, attributes)  # [n, m]: row i is what element i becomes
        order = [*(i for i in range(rank) if i != axis), axis]
        back = [int(i) for i in np.argsort(order)]
        product = e.matmul(e.transpose(g, order), e.transpose(matrix, [1, 0]))
        g = e.transpose(product, back)
    return g


def _refuse_channels(s: Step) -> None:
    dims_x, dims_y = s.facts.dims.get(s.x()), s.facts.dims.get(s.y)
    scales = _scales(s)
    if scales is not None and scales[:2] == [1, 1]:
        return
    if dims_x is None or dims_y is None or dims_x[1] != dims_y[1]:
        raise NoRuleError("it may resample channels")


def _matrix(s: Step, axis: int, attributes: dict[str, object]) -> ir.Value:
    e, x = s.e, s.x()
    size, target = e.dim(x, axis), e.dim(s.y, axis)
    eye = e.op(
        "EyeLike", e.full(e.concat([size, size], 0), 0.0, ir.DataType.FLOAT), dtype=int(s.dtype)
    )
    image = e.unsqueeze(eye, [0, 1])  # [1, 1, n, n]: only the last axis is resampled
    kept = {name: value for name, value in attributes.items() if name != "axes"}
    # Below opset 13 no input is optional, but it may be empty.
    empty = e.constant(np.zeros(0), ir.DataType.FLOAT) if e.opset < 13 else None
    scales = s.maybe(2)
    if scales is not None and s.maybe(3) is None:
        one = e.op("Gather", scales, e.ints([axis]), axis=0)
        ones = e.constant(np.ones(3), ir.DataType.FLOAT)
        made = e.op("Resize", image, empty, e.concat([ones, one], 0), **kept)  # type: ignore[arg-type]
    else:
        sizes = e.concat([e.ints([1, 1]), size, target], 0)
        made = e.op("Resize", image, empty, empty, sizes, **kept)  # type: ignore[arg-type]
    return e.squeeze(made, [0, 1])
