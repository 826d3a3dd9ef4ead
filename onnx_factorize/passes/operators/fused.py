"""onnxruntime's FusedMatMul, FusedGemm and FusedConv, split into standard operators."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from ...graph import opset
from ..adjoint.bodies.products import ACTIVATIONS
from ..linear.multiplications import of_conv, of_gemm, of_matmul
from ..linear.operator_spec import MICROSOFT, OperatorSpec
from ..linear.registry import register
from ..linear.site import Site, rearranged
from ..linear.variant import Variant

__all__ = ["FusedLayer", "FusedMatMul"]

_C_OPTIONAL_SINCE = 11


@dataclasses.dataclass
class FusedMatMul(Variant):
    """`alpha * x @ op(W)`."""

    split: ClassVar[bool] = True

    shape: tuple[int, ...]

    def canonicalize(self, site: Site) -> None:
        """Becomes a MatMul with a weight that has `alpha` and the transposition in it."""
        attributes = site.node.attributes
        alpha = attributes.get_float("alpha", 1.0)
        turned = bool(attributes.get_int("transB", 0))
        rearranged(
            self.weight,
            lambda w: ((w.T if turned else w) * alpha).astype(w.dtype),
            self.shape[::-1] if turned else self.shape,
        )
        site.close(site.core(site.op("MatMul", self.x, self.weight)))


@dataclasses.dataclass
class FusedLayer(Variant):
    """A Gemm or Conv with an activation, and perhaps another value added before it."""

    split: ClassVar[bool] = True

    activation: str
    parameters: tuple[float, ...]

    def canonicalize(self, site: Site) -> None:
        """Becomes the standard operators that it was made of."""
        node = site.node
        op_type = node.op_type.removeprefix("Fused")
        value = site.op(op_type, *node.inputs[:3])
        core = site.core(value).producer()
        assert core is not None
        core.attributes.update(
            {k: v for k, v in node.attributes.items() if not k.startswith("activation")}
        )
        if op_type == "Gemm" and len(core.inputs) < 3 and opset(site.model) < _C_OPTIONAL_SINCE:
            core.resize_inputs(3)
            zero = site.initializer(self.weight, f"{self.weight.name}.zero", np.zeros(1))
            core.replace_input_with(2, zero)
        if len(node.inputs) > 3 and node.inputs[3] is not None:
            value = site.op("Add", value, node.inputs[3], suffix=".add")
        if self.activation:
            names = ACTIVATIONS[self.activation]
            attributes = dict(zip(names, self.parameters, strict=True))
            value = site.op(self.activation, value, suffix=".activation", **attributes)
        site.close(value)


def _read_matmul(
    _: ir.Model, node: ir.Node, x: ir.Value, weight: ir.Value, shape: tuple[int, ...]
) -> Variant | str | None:
    """Reads a FusedMatMul."""
    moved = ("transA", "transBatchA", "transBatchB")
    if node.inputs[1] is not weight or any(node.attributes.get_int(name, 0) for name in moved):
        return "is a fused product that transposes: factorize the model as it was exported"
    if len(shape) != 2:
        return f"its weight has {len(shape)} axes, and only matrices are treated in FusedMatMul"
    return FusedMatMul(x, weight, shape)


def _read_layer(
    _: ir.Model, node: ir.Node, x: ir.Value, weight: ir.Value, __: tuple[int, ...]
) -> Variant | str | None:
    """Reads a FusedGemm or a FusedConv."""
    activation = node.attributes.get_string("activation", "")
    if activation not in ACTIVATIONS or node.inputs[1] is not weight:
        return f"is fused with {activation}: factorize the model as it was exported"
    count = len(ACTIVATIONS[activation])
    if node.op_type == "FusedConv":
        attribute = node.attributes.get("activation_params")
        parameters = tuple(attribute.as_floats()) if attribute is not None else ()
    else:
        names = ("activation_alpha", "activation_beta")[:count]
        parameters = tuple(node.attributes.get_float(name, 0.0) for name in names)
    if len(parameters) < count:
        return f"is fused with {activation}, whose parameters are missing"
    return FusedLayer(x, weight, activation, parameters[:count])


register(
    OperatorSpec(
        "FusedMatMul",
        domain=MICROSOFT,
        title="two MatMuls",
        weights=(1, 0),
        multiplications=of_matmul,
        variants=(_read_matmul,),
    )
)
register(
    OperatorSpec(
        "FusedGemm",
        domain=MICROSOFT,
        title="two Gemms",
        weights=(1, 0),
        multiplications=of_gemm,
        variants=(_read_layer,),
    )
)
register(
    OperatorSpec(
        "FusedConv",
        domain=MICROSOFT,
        title="channel",
        weights=(1,),
        multiplications=of_conv,
        variants=(_read_layer,),
    )
)
