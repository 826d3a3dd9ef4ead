"""Headings of the groups of options in `--help`, in their order there."""

from __future__ import annotations

__all__ = [
    "CUTS",
    "DATA",
    "FILES",
    "GOAL",
    "HEADINGS",
    "MACHINE",
    "MEANING",
    "OTHER",
    "PARTS",
    "PRINTED",
    "QUANTIZATION",
    "RANKS",
    "TRAINING",
]

GOAL = "Goal"
DATA = "Calibration data"
PARTS = "Parts of a calibration"
FILES = "Files to write"
CUTS = "What may be cut, and how"
RANKS = "Choice of ranks"
TRAINING = "Training"
QUANTIZATION = "Quantization"
MEANING = "What inputs and outputs mean, where that is found wrong"
MACHINE = "Machine"
PRINTED = "Printing"
OTHER = "Other"

HEADINGS = (
    GOAL, DATA, PARTS, FILES, CUTS, RANKS, TRAINING, QUANTIZATION, MEANING, MACHINE, PRINTED, OTHER,
)  # fmt: skip
