"""The command line as it was typed, for reports."""

from __future__ import annotations

import click

__all__ = ["TYPED", "typed"]

# Where click keeps it.
TYPED = "onnx_factorize.command_line"


def typed() -> str:
    """The command line as it was typed."""
    return str(click.get_current_context().meta[TYPED])
