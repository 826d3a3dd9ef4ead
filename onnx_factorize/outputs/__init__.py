"""Outputs of a model: one object for the distribution that each stands for.

Calibration, search, verification, guarantees, `compare` and fine-tuning all measure by it.
"""

from .bernoulli import Bernoulli
from .categorical import Categorical, class_axis
from .distribution import Compared, OutputDistribution, Part
from .gaussian import Gaussian
from .kinds_by_graph import counted, output_kinds, recognized
from .survey import SURVEYED, Survey, survey

__all__ = [
    "SURVEYED",
    "Bernoulli",
    "Categorical",
    "Compared",
    "Gaussian",
    "OutputDistribution",
    "Part",
    "Survey",
    "class_axis",
    "counted",
    "output_kinds",
    "recognized",
    "survey",
]
