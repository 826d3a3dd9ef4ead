"""Parts of a graph that run one after the other, with what crosses between them on disk."""

from .partition import NotSegmentedError, partition
from .segment_models import SegmentModel, SegmentModels

__all__ = ["NotSegmentedError", "SegmentModel", "SegmentModels", "partition"]
