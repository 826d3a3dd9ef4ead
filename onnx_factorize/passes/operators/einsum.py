"""Einsum with a constant operand that is a matrix product."""

from __future__ import annotations

import dataclasses
import math
import string

import onnx_ir as ir

from ..linear.factors import Factors
from ..linear.multiplications import Lengths, Term, operand
from ..linear.operator_spec import OperatorSpec
from ..linear.registry import register
from ..linear.site import Site, rearranged
from ..linear.variant import Variant

__all__ = ["EinsumProduct"]


@dataclasses.dataclass
class EinsumProduct(Variant):
    """`rows groups K, groups K N -> rows groups N`, with the axes of each in any order.

    Attributes:
        left: The indices of x.
        right: Those of the weight.
        out: Those of the result.
        sizes: Length of each axis of the weight.
    """

    left: str
    right: str
    out: str
    sizes: dict[str, int]

    @property
    def groups(self) -> str:
        """Indices of all three."""
        return "".join(c for c in self.right if c in self.left and c in self.out)

    @property
    def contracted(self) -> str:
        """Indices of x and of the weight alone."""
        return "".join(c for c in self.right if c in self.left and c not in self.out)

    @property
    def free(self) -> str:
        """Indices of the weight and of the result alone."""
        return "".join(c for c in self.right if c not in self.left and c in self.out)

    @property
    def rows(self) -> str:
        """Indices of x and of the result alone, an ellipsis among them."""
        bare = self.left.replace("...", "")
        ellipsis = "..." if "..." in self.left else ""
        return ellipsis + "".join(c for c in bare if c in self.out and c not in self.right)

    def _lengths(self, indices: str) -> list[int]:
        return [self.sizes[c] for c in indices]

    def canonicalize(self, site: Site) -> None:
        """Becomes a MatMul, or a pointwise Conv where there are groups, among transpositions."""
        groups, k, n = (
            math.prod(self._lengths(part)) for part in (self.groups, self.contracted, self.free)
        )
        order = self.groups + self.contracted
        x = self._moved(site, self.x, self.left, self.rows + order)
        rows = site.lengths(x, 0, -len(order))
        axes = [self.right.index(c) for c in self.groups + self.contracted + self.free]
        if groups > 1:
            channels = site.reshape(x, [-1, groups * k, 1])
            y = site.grouped(
                channels,
                self.weight,
                lambda w: w.transpose(axes).reshape(groups, k, n).transpose(0, 2, 1),
                (groups, n, k),
            )
        else:
            rearranged(self.weight, lambda w: w.transpose(axes).reshape(k, n), (k, n))
            if len(order) > 1:
                x = site.reshape(x, rows, [k])
            y = site.core(site.op("MatMul", x, self.weight), centred=False)
        y = site.reshape(y, rows, self._lengths(self.groups + self.free))
        site.close(self._moved(site, y, self.rows + self.groups + self.free, self.out))

    def _moved(self, site: Site, value: ir.Value, given: str, wanted: str) -> ir.Value:
        if given == wanted:
            return value
        return site.helper("Einsum", value, equation=f"{given}->{wanted}")

    def rewrite(self, site: Site, factors: Factors) -> None:
        """Becomes two Einsums with an index of their own between them."""
        groups, k, n = self.groups, self.contracted, self.free
        used = {*self.left, *self.right, *self.out}
        rank = next(c for c in string.ascii_letters if c not in used)
        sizes = {**self.sizes, rank: factors.rank}
        down, up = groups + k + rank, groups + rank + n
        narrow = factors.down.reshape([sizes[c] for c in down])
        wide = factors.up.reshape([sizes[c] for c in up])
        middle = self.rows + groups + rank
        value = site.op(
            "Einsum",
            self.x,
            site.factor(self.weight, "down", narrow),
            suffix=".down",
            equation=f"{self.left},{down}->{middle}",
        )
        site.node.replace_input_with(0, value)
        site.node.replace_input_with(1, site.factor(self.weight, "up", wide))
        equation = f"{middle},{up}->{self.out}"
        site.node.attributes["equation"] = ir.AttrString("equation", equation)


def _read(
    _: ir.Model, node: ir.Node, x: ir.Value, weight: ir.Value, shape: tuple[int, ...]
) -> Variant | str | None:
    """Reads an Einsum with one constant operand."""
    if len(node.inputs) != 2:
        return f"is an Einsum of {len(node.inputs)} operands: split it into products of two"
    equation = node.attributes["equation"].as_string().replace(" ", "")
    operands, arrow, out = equation.partition("->")
    parts = operands.split(",")
    left, right = parts if node.inputs[1] is weight else reversed(parts)
    if not arrow:
        bare = (left + right).replace(".", "")
        dots = "..." if "." in operands else ""
        out = dots + "".join(sorted(c for c in set(bare) if bare.count(c) == 1))
    if "." in right:
        return f"its equation '{equation}' has an ellipsis in the constant operand"
    bare = left.replace("...", "")
    if len(set(bare)) < len(bare) or len(set(right)) < len(right):
        return f"its equation '{equation}' takes a diagonal"
    if "." in left and "." not in out:
        return f"its equation '{equation}' sums over an ellipsis"
    if any(c not in left and c not in out for c in right):
        return f"its equation '{equation}' sums over an axis of the constant operand alone"
    found = EinsumProduct(x, weight, left, right, out, dict(zip(right, shape, strict=True)))
    if not found.contracted or not found.free:
        return f"its equation '{equation}' is no matrix product"
    return found


def _multiplications(node: ir.Node) -> tuple[Term, ...] | None:
    """Each element of the result takes as many as the axes that are summed over have places."""
    if len(node.inputs) != 2:
        return None
    equation = node.attributes["equation"].as_string().replace(" ", "")
    operands, arrow, out = equation.partition("->")
    parts = operands.split(",")
    if not arrow:
        bare = operands.replace(",", "").replace(".", "")
        out = "".join(sorted(c for c in set(bare) if bare.count(c) == 1))
    summed: dict[str, Lengths] = {}
    for index, part in enumerate(parts):
        before, dots, after = part.partition("...")
        axes = {c: place for place, c in enumerate(before)}
        axes |= {c: place - len(after) for place, c in enumerate(after)} if dots else {}
        for c, axis in axes.items():
            if c not in out:
                stop = axis + 1 if axis != -1 else None
                summed[c] = Lengths(operand(node, index), axis, stop)
    return ((Lengths(node.outputs[0]), *summed.values()),)


register(
    OperatorSpec(
        "Einsum",
        title="two Einsums",
        weights=(1, 0),
        multiplications=_multiplications,
        variants=(_read,),
    )
)
