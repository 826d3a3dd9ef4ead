"""Normalizations, pooling and softmax."""

from __future__ import annotations

import numpy as np

from .mends import MendGroups
from .operand import Operand
from .registry import rule
from .step import Step

_CHANNELS = 1
_ONE_AXIS_SINCE = 13  # before, Softmax flattened all axes from one on
_EACH_CHANNEL_SINCE = 21  # before, GroupNormalization had a constant for each group


def through(step: Step) -> None:
    """The first output has what the first input has; other operands have no channels."""
    x, y = Operand(step.node, 0), step.output()
    if step.at in (x, y) and step.is_single:
        step.same(y if step.at == x else x, step.axis)
    else:
        step.mixes()


@rule("BatchNormalization", "InstanceNormalization")
def by_channel(step: Step) -> None:
    """Each channel has its own statistics, and its own number in each constant."""
    if not step.node.attributes.get_int("spatial", 1) or not step.is_single:
        step.block(f"{step.name} is not in the form that it has in inference")
    elif step.axis > _CHANNELS and step.node.op_type == "InstanceNormalization":
        step.mixes()
    else:
        through(step)
        for constant in step.inputs[1:] if step.axis == _CHANNELS else ():
            step.same(constant, 0)


@rule("GroupNormalization")
def group(step: Step) -> None:
    """Groups of channels are normalized together, and go together."""
    if step.axis > _CHANNELS:
        step.mixes()
        return
    through(step)
    if step.axis == 0:
        return
    groups = step.node.attributes.get_int("num_groups", 1)
    every = np.arange(step.length)
    each = step.length // groups
    step.link(step.at, 1, every, every // each * each, step.length)
    for constant in step.inputs[1:]:
        if step.opset >= _EACH_CHANNEL_SINCE:
            step.same(constant, 0)
        else:
            step.link(constant, 0, every, every // each, groups)
    found = step.reached(step.at, 1)
    assert found is not None
    step.mend(MendGroups(step.node, "num_groups", found, each))


@rule(
    "AveragePool",
    "GlobalAveragePool",
    "GlobalLpPool",
    "GlobalMaxPool",
    "GridSample",
    "LpPool",
    "MaxPool",
)
def pool(step: Step) -> None:
    """Each channel is pooled by itself."""
    if step.axis > _CHANNELS or (step.axis == 0 and step.node.op_type == "GridSample"):
        step.mixes()
    else:
        through(step)


@rule("Hardmax", "LogSoftmax", "Softmax", since=_ONE_AXIS_SINCE)
def softmax(step: Step) -> None:
    """One axis is normalized."""
    _over(step, step.node.attributes.get_int("axis", -1), behind=False)


@rule("LpNormalization")
def lp(step: Step) -> None:
    """One axis is normalized."""
    _over(step, step.node.attributes.get_int("axis", -1), behind=False)


@rule("Hardmax", "LogSoftmax", "Softmax")
def softmax_flat(step: Step) -> None:
    """All axes from one on are normalized together."""
    _over(step, step.node.attributes.get_int("axis", 1), behind=True)


@rule("LayerNormalization", "RMSNormalization")
def layer(step: Step) -> None:
    """All axes from one on are normalized together."""
    _over(step, step.node.attributes.get_int("axis", -1), behind=True)


def _over(step: Step, axis: int, *, behind: bool) -> None:
    rank = step.rank(step.at)
    if rank is None:
        step.unknown(step.at)
    elif step.axis == axis % rank or (behind and step.axis > axis % rank):
        step.block(f"{step.name} normalizes over them")
    else:
        through(step)
