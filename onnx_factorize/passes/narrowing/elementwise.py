"""Operators that treat every element by itself: channels stay where they are."""

from __future__ import annotations

from .operand import Operand
from .registry import rule
from .step import Step

_UNARY = """Abs Acos Acosh Asin Asinh Atan Atanh BitwiseNot Cast Ceil Celu Cos Cosh Elu Erf Exp
    Floor Gelu HardSigmoid HardSwish Identity IsInf IsNaN LeakyRelu Log Mish Neg Not Reciprocal Relu
    Round Selu Shrink Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Swish Tan Tanh
    ThresholdedRelu"""
_BROADCAST = """Add And BitShift BitwiseAnd BitwiseOr BitwiseXor Div Equal Greater GreaterOrEqual
    Less LessOrEqual Max Mean Min Mod Mul Or PRelu Pow Sub Sum Where Xor"""

_ALIGNED_SINCE = 7  # before, a small operand stood where the attribute `axis` said


@rule(*_UNARY.split())
def unary(step: Step) -> None:
    """The output has what the input has."""
    first(step)


@rule("Clip", "Dropout")
def first(step: Step) -> None:
    """Every output has what the first input has; other inputs are single numbers."""
    whole = step.input(0)
    if step.at.output or step.at == whole:
        for operand in (whole, *step.outputs):
            if operand is not None and operand != step.at:
                step.same(operand, step.axis)


@rule(*_BROADCAST.split(), since=_ALIGNED_SINCE)
def broadcast(step: Step) -> None:
    """Axes are the same, counted from the last; an operand of length one there has no channels."""
    rank = step.rank(step.at)
    if rank is None:
        step.unknown(step.at)
        return
    for operand in step.operands:
        if operand != step.at:
            _align(step, operand, step.axis - rank)


def _align(step: Step, operand: Operand, axis: int) -> None:
    """Joins an axis that is counted from the last."""
    dims = step.dims(operand)
    if dims is None:
        step.unknown(operand)
        return
    if len(dims) < -axis or dims[axis] == 1:
        return
    mine = step.dims(step.at)
    if (
        isinstance(dims[axis], int)
        or operand.output
        or (mine is not None and dims[axis] == mine[axis])
    ):
        step.same(operand, axis + len(dims))
    else:
        step.block(f"'{operand.value.name}' may have one channel or many ({step.name})")
