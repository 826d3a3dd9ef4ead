"""The refusal of a rule."""

from __future__ import annotations


class NoRuleError(Exception):
    """A rule refuses a node; the message is the reason shown to the user."""
