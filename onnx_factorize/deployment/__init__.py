"""Devices that models are deployed to: what each wants of a model, as data."""

from __future__ import annotations

from .device import Device, Quirks
from .kinds import CONTROL_FLOW, kinds_of

__all__ = ["CONTROL_FLOW", "Device", "Quirks", "kinds_of"]
