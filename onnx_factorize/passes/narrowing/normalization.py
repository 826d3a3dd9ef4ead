"""Normalizations, pooling and softmax."""

from __future__ import annotations

from .elementwise import first
from .registry import rule
from .step import Step

_CHANNELS = 1
_ONE_AXIS_SINCE = 13  # before, Softmax flattened all axes from one on


@rule("BatchNormalization", "InstanceNormalization")
def by_channel(step: Step) -> None:
    """Each channel has its own statistics, and its own number in each constant."""
    x, y = step.input(0), step.output()
    if not step.node.attributes.get_int("spatial", 1) or len(step.outputs) > 1:
        step.block(f"{step.name} is not in the form that it has in inference")
    elif step.at not in (x, y):
        step.mixes()
    elif step.axis == _CHANNELS:
        step.same(y if step.at == x else x, step.axis)
        for constant in step.inputs[1:]:
            step.same(constant, 0)
    elif step.axis == 0 or step.node.op_type == "BatchNormalization":
        first(step)
    else:
        step.mixes()


@rule(
    "AveragePool",
    "GlobalAveragePool",
    "GlobalLpPool",
    "GlobalMaxPool",
    "LpPool",
    "MaxPool",
)
def pool(step: Step) -> None:
    """Each channel is pooled by itself."""
    if step.axis > _CHANNELS or len(step.outputs) > 1:
        step.mixes()
    else:
        first(step)


@rule("Hardmax", "LogSoftmax", "Softmax", since=_ONE_AXIS_SINCE)
def softmax(step: Step) -> None:
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
    if step.at not in (step.input(0), step.output()):
        step.mixes()
    elif rank is None:
        step.block(f"nothing is known of the shape of '{step.at.value.name}' ({step.name})")
    elif step.axis == axis % rank or (behind and step.axis > axis % rank):
        step.block(f"{step.name} normalizes over them")
    else:
        first(step)


@rule("GroupNormalization")
def group(step: Step) -> None:
    """Groups of channels are normalized together."""
    if step.axis == 0:
        first(step)
    else:
        step.block(f"{step.name} normalizes over them")
