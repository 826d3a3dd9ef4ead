"""Running models over batches beside each other, and reducing what they answer."""

from .agreement import Agreement, OutputAgreement, compare_outputs
from .divergences import Divergences
from .evaluate import Metric, evaluate
from .recorded import Recorded

__all__ = [
    "Agreement",
    "Divergences",
    "Metric",
    "OutputAgreement",
    "Recorded",
    "compare_outputs",
    "evaluate",
]
