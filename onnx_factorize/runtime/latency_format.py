"""What kits of models to be timed, and results of them, have in common (docs/latency-kit.md)."""

from __future__ import annotations

__all__ = ["KIT", "RESULTS", "SAVED", "SCHEMA"]

# What a manifest, and a file of results, says that it is.
KIT, RESULTS = "latency kit", "results of a latency kit"

# Files of another version are refused.
SCHEMA = 1

# The metadata of a model that was made for another device: what cuts, and fewer channels, were
# predicted to save there.
SAVED = "saved"
