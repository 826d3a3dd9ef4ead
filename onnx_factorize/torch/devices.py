"""Devices that training may run on."""

from __future__ import annotations

import torch

from ..errors import InputError

__all__ = ["check_device"]


def check_device(name: str) -> None:
    """Finds out whether there is a device of a name.

    Raises:
        InputError: There is none, or this build of torch cannot use it.
    """
    try:
        torch.zeros(1, device=name)
    except Exception as error:  # of many kinds
        reason = str(error).strip().split("\n")[0].rstrip(".")
        raise InputError(f"--device {name} cannot be used here: {reason}.") from error
