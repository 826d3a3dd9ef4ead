"""Devices by name."""

from __future__ import annotations

from ...errors import check_known
from ...registering import check_free
from ..device import Device

__all__ = ["device_named", "device_names", "register"]

_DEVICES: dict[str, Device] = {}


def register(device: Device) -> None:
    """Adds a device: from now on `--deploy-to` takes its name.

    Raises:
        ValueError: Another has that name.
    """
    check_free(_DEVICES, device, "device")
    _DEVICES[device.name] = device


def device_names() -> list[str]:
    """The names that `--deploy-to` takes."""
    return sorted(_DEVICES)


def device_named(name: str) -> Device:
    """The device of a name.

    Raises:
        InputError: There is none.
    """
    check_known(device_names(), name, "device")
    return _DEVICES[name]
