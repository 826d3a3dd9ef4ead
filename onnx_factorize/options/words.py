"""The words that options take, where no registry says which there are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

__all__ = [
    "Blockwise",
    "EffortName",
    "Labels",
    "MaskMeaning",
    "Narrow",
    "Prefer",
    "Ranks",
    "StateOption",
    "WrittenAs",
]

# Whether statistics are gathered from one block of the model at a time.
Blockwise = Literal["auto", "on", "off"]

# How much is computed to choose ranks (see `effort`).
EffortName = Literal["low", "normal", "high"]

# What a guarantee makes small.
Prefer = Literal["size", "latency"]

# `global` cuts where least is lost; `uniform` treats all targets alike.
Ranks = Literal["global", "uniform"]
Narrow = Literal["auto", "off", "only"]

# The way in which two factors are written: as a pair, or as an identity block.
WrittenAs = Literal["auto", "pair", "identity"]

# Where labels come from: the model draws them, or the calibration data hold them.
Labels = Literal["drawn", "given"]

# What numbers other than zero are in a mask: positions that hold data, or that are padding.
MaskMeaning = Literal["keep", "drop", "none"]

# Input name to output name, `none` for no stream, or None to look for one.
StateOption = Mapping[str, str] | Literal["none"] | None
