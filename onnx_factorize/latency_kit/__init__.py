"""A folder of small models that tells, on any device, what the operators of a model take there."""

from __future__ import annotations

from .build import Kit, write_check, write_kit

__all__ = ["Kit", "write_check", "write_kit"]
