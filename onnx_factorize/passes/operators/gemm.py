"""Gemm: with a constant matrix on the right or on the left."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx_ir as ir

from ...arrays import Array
from ...graph import opset
from ..linear.attributes import is_row_of, row
from ..linear.factors import Factors
from ..linear.layer import Layer
from ..linear.marks import is_centred
from ..linear.multiplications import of_gemm
from ..linear.operator_spec import OperatorSpec, Plain, Sharing
from ..linear.registry import register
from ..linear.rewrite import Rewrite
from ..linear.site import Site
from ..linear.target import Target
from ..linear.unfoldings import Unfolding
from ..linear.variant import Variant
from ..linear.weights import weight_tensor

__all__ = ["LeftGemm", "RewriteGemm"]

_C_OPTIONAL_SINCE = 11


def _find(model: ir.Model, node: ir.Node, name: str) -> Layer | str:
    """Reads a Gemm with a constant on the right."""
    a, b = node.inputs[:2]
    tensor = weight_tensor(model, b)
    if isinstance(tensor, str) or a is None or b is None:
        return str(tensor)
    shape = tensor.shape.numpy()
    turned = bool(node.attributes.get_int("transB", 0))
    rows, columns = shape[::-1] if turned else shape
    c = node.inputs[2] if len(node.inputs) > 2 else None
    centred = c is None or is_row_of(model, c, columns)
    return Layer(
        name,
        node,
        a,
        b,
        Unfolding(rows, columns),
        centred,
        row(c, columns, node.attributes.get_float("beta", 1.0)) if centred else None,
        scale=node.attributes.get_float("alpha", 1.0),
        transposed_input=bool(node.attributes.get_int("transA", 0)),
        transposed_weight=turned,
        # A product with its constant on the left has none.
        zeros=turned and is_centred(node),
    )


class RewriteGemm(Rewrite):
    """`alpha * op(A) @ op(B) + beta * C` becomes two Gemms.

    - The first has `transA` of the original, and neither has `alpha`, which the factors include.
    - Both have `transB` where the original has it, and their factors are stored that way: a reader
      of the original (ncnn, say, which takes a Gemm with `transB` and a row `C` for a layer, and
      any other for something else) reads these alike. So the first then has a row of zeros as `C`.
    - `C` and `beta` stay on the second; a bias correction folds `beta` into `C`.
    - Before opset 11 a Gemm must have a `C`: the first gets a zero.
    """

    def pair(self, target: Target, factors: Factors) -> None:
        """Two Gemms."""
        turned = target.layer.transposed_weight
        narrow, wide = factors.down[0], factors.up[0]
        down = self._weight(target, "down", narrow.T if turned else narrow)
        up = self._weight(target, "up", wide.T if turned else wide)
        inputs = [target.x, down, *self._zeros(target, factors.rank)]
        value = self._gemm(target, inputs, ("transA", "transB"))
        self._become(target, value, up, factors.bias_shift)

    def channels(
        self,
        target: Target,
        value: ir.Value,
        matrices: Array,
        suffix: str,
        bias: Array | None = None,
    ) -> ir.Value:
        """A Gemm of a value that is not transposed."""
        turned, matrix = target.layer.transposed_weight, matrices[0]
        weight = self._weight(target, suffix, matrix.T if turned else matrix)
        inputs = [value, weight]
        if bias is not None:
            inputs.append(self._weight(target, "bias", bias))
        else:
            inputs += self._zeros(target, matrix.shape[1])
        return self._gemm(target, inputs, ("transB",), suffix)

    def finish(self, target: Target, value: ir.Value, matrices: Array, shift: Array | None) -> None:
        """The node reads another value, and another weight."""
        turned, matrix = target.layer.transposed_weight, matrices[0]
        up = self._weight(target, "up", matrix.T if turned else matrix)
        self._become(target, value, up, shift)

    def _zeros(self, target: Target, width: int) -> list[ir.Value]:
        """What a Gemm that adds nothing must add all the same."""
        turned = target.layer.transposed_weight
        if not turned and opset(self._model) >= _C_OPTIONAL_SINCE:
            return []
        return [self._weight(target, "zero", np.zeros(width if turned else 1))]

    def _gemm(
        self, target: Target, inputs: list[ir.Value], kept: tuple[str, ...], suffix: str = "down"
    ) -> ir.Value:
        attributes = target.node.attributes
        names = [name for name in kept if attributes.get_int(name, 0)]
        return self._insert_before(
            target, "Gemm", inputs, [attributes[name] for name in names], suffix
        )

    def _become(self, target: Target, value: ir.Value, up: ir.Value, shift: Array | None) -> None:
        node = target.node
        node.replace_input_with(0, value)
        node.replace_input_with(1, up)
        for name in ("alpha", "transA"):
            node.attributes.pop(name, None)
        if shift is not None:
            self.correct(target, shift)

    def correct(self, target: Target, shift: Array) -> None:
        """Adds a shift to C: a beta may stand there without one, and must not scale the new."""
        beta = target.node.attributes.pop("beta", None)
        self._correct_own_bias(target, shift, beta.as_float() if beta is not None else 1.0)


@dataclasses.dataclass
class LeftGemm(Variant):
    """`alpha * op(W) @ op(x) + beta * C`."""

    shape: tuple[int, ...]

    def canonicalize(self, site: Site) -> None:
        """Becomes `(alpha * op(x)ᵀ @ op(W)ᵀ)ᵀ + beta * C`."""
        node = site.node
        attributes = node.attributes
        x = self.x
        if not attributes.get_int("transB", 0):
            x = site.helper("Transpose", x, perm=[1, 0])
        inputs = [x, self.weight]
        if opset(site.model) < _C_OPTIONAL_SINCE:
            inputs.append(site.initializer(self.weight, f"{self.weight.name}.zero", np.zeros(1)))
        product = site.op(
            "Gemm",
            *inputs,
            transB=1 - attributes.get_int("transA", 0),
            alpha=attributes.get_float("alpha", 1.0),
        )
        y = site.helper("Transpose", site.core(product, centred=False), perm=[1, 0])
        c = node.inputs[2] if len(node.inputs) > 2 else None
        if c is not None:
            beta = np.array([attributes.get_float("beta", 1.0)])
            scale = site.initializer(self.weight, f"{self.weight.name}.beta", beta)
            y = site.helper("Add", y, site.helper("Mul", c, scale))
        site.close(y)

    def rewrite(self, site: Site, factors: Factors) -> None:
        """Becomes `up @ (down @ op(x)) + beta * C`."""
        node = site.node
        down = site.factor(self.weight, "down", factors.down[0].T)
        up = site.factor(self.weight, "up", factors.up[0].T)
        inputs = [down, self.x]
        if opset(site.model) < _C_OPTIONAL_SINCE:
            inputs.append(site.factor(self.weight, "zero", np.zeros(1)))
        turned = node.attributes.get_int("transB", 0)
        node.replace_input_with(1, site.op("Gemm", *inputs, suffix=".down", transB=turned))
        node.replace_input_with(0, up)
        for name in ("alpha", "transA", "transB"):
            node.attributes.pop(name, None)


def _read_left(
    _: ir.Model, node: ir.Node, x: ir.Value, weight: ir.Value, shape: tuple[int, ...]
) -> Variant | str | None:
    """Reads a product whose constant is on the left."""
    return LeftGemm(x, weight, shape) if node.inputs[0] is weight else None


def _scales(node: ir.Node) -> bool:
    return node.attributes.get_float("alpha", 1.0) != 1.0


register(
    OperatorSpec(
        "Gemm",
        title="two Gemms",
        weights=(1, 0),
        multiplications=of_gemm,
        plain=Plain(_find, RewriteGemm, turn=1),
        variants=(_read_left,),
        sharing=Sharing(1, scales=_scales),
        quantized=frozenset({"dynamic", "static", "weights"}),
    )
)
