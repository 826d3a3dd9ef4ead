"""What a device wants to stay as it is."""

from __future__ import annotations

from ..deployment import Device, kinds_of
from ..passes import Target

__all__ = ["kept_from"]


def kept_from(device: Device, target: Target) -> str | None:
    """The reason why an operator stays dense on a device; None where it may be cut there.

    Args:
        device: The device.
        target: The operator.
    """
    for kind in (target.op_type, *kinds_of(target.node)):
        if kind in device.dense:
            return f"stays dense for {device.title}: {kind} {device.dense[kind]}"
    if target.full_rank < device.least_channels:
        return (
            f"stays dense for {device.title}: operators of fewer than {device.least_channels} "
            "channels gain nothing there"
        )
    return None
