"""The options of a run as plain data: they know nothing of what is done with them.

Words that name something of a registry (a weighting, a form, a quantizer, a metric) are looked up
where a run starts (see `check_options`).
"""

from .budget import Budget
from .effort import FOLDS, HIGH, LOW, NORMAL, Effort
from .files import FileOptions
from .guarantee import Guarantee, guarantee_asked
from .images import ImageOptions, Layout
from .keywords import DataKeywords, OptionKeywords, SweepKeywords
from .memory import Memory
from .options import Options
from .runtime import RuntimeOptions
from .selection import Selection
from .texts import TextOptions
from .training import Precision, SVTKind, Training, without_training
from .words import EffortName, Labels, MaskMeaning, Narrow, Prefer, Ranks, StateOption

__all__ = [
    "FOLDS",
    "HIGH",
    "LOW",
    "NORMAL",
    "Budget",
    "DataKeywords",
    "Effort",
    "EffortName",
    "FileOptions",
    "Guarantee",
    "ImageOptions",
    "Labels",
    "Layout",
    "MaskMeaning",
    "Memory",
    "Narrow",
    "OptionKeywords",
    "Options",
    "Precision",
    "Prefer",
    "Ranks",
    "RuntimeOptions",
    "SVTKind",
    "Selection",
    "StateOption",
    "SweepKeywords",
    "TextOptions",
    "Training",
    "guarantee_asked",
    "without_training",
]
