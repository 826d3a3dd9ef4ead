"""The sides on which an identity may stand among the factors of an operator."""

from __future__ import annotations

import onnx_ir as ir

from ...graph import opset
from ..linear.marks import stored_type
from ..linear.target import Side, Target

__all__ = ["sides_of", "sides_of_pair"]

# Concat and Split count axes from the end since.
_NEGATIVE_AXIS_SINCE = 11

# Concat of a product's columns takes less time than Split of what it reads and an Add, unless there
# are so many times more of them.
_WIDE = 2


def sides_of(model: ir.Model, unfolding: Target) -> tuple[Side, ...]:
    """The sides for a target that is to be cut in one unfolding, the one preferred first.

    Args:
        model: The normalised model.
        unfolding: The target, seen in that unfolding.
    """
    if not unfolding.stands or unfolding.tied or unfolding.embedding:
        return ()
    if stored_type(unfolding.weight) is not unfolding.weight.dtype:
        return ()
    geometry = unfolding.own.convolution
    if geometry is None:
        return _of_products(model, unfolding, unfolding)
    first = unfolding.is_own and not geometry.pointwise
    return _of_convolutions(
        unfolding.groups,
        input_side=not first and (unfolding.is_own or not unfolding.unfolding.leading),
        output_side=unfolding.is_own and unfolding.layer.bias is not None,
    )


def sides_of_pair(model: ir.Model, down: Target, up: Target) -> tuple[Side, ...]:
    """The sides for two operators, one behind the other, the one preferred first."""
    first, last = down.convolution, up.own.convolution
    # What the first adds must stay behind the whole of it.
    plain = down.layer.bias is not None and not down.layer.bias.any()
    if first is None or last is None:
        sides = _of_products(model, down, up)
    else:
        sides = _of_convolutions(
            max(down.groups, up.groups),
            input_side=first.pointwise,
            output_side=last.pointwise and up.layer.bias is not None,
        )
    return sides if plain else ()


def _of_products(model: ir.Model, down: Target, up: Target) -> tuple[Side, ...]:
    """The output side first, unless many more numbers are to be moved there."""
    if opset(model) < _NEGATIVE_AXIS_SINCE:
        return ()
    sides: list[Side] = []
    if up.layer.bias is not None:
        sides.append("output")
    if not down.transposed_input:
        sides.append("input")
    if up.columns > _WIDE * down.rows:
        sides.reverse()
    return tuple(sides)


def _of_convolutions(groups: int, *, input_side: bool, output_side: bool) -> tuple[Side, ...]:
    """The output side first: in the layout of convolutions Concat is cheap, and Split is not."""
    if groups > 1:
        return ()
    allowed: dict[Side, bool] = {"output": output_side, "input": input_side}
    return tuple(side for side, able in allowed.items() if able)
