"""Fewer bits on top of fewer parameters."""
