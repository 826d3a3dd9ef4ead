"""Sources of calibration data: each form of `--calib` is a source of records."""

from ...options.images import ImageOptions
from .feeds import FeedSource, feeds_of, heads_of
from .images import ImageSource
from .later_steps import LaterSteps
from .numpy_files import NumpySource
from .protobuf import ProtobufSource
from .source import Source
from .texts import TextSource, TokenizedTexts

__all__ = [
    "FeedSource",
    "ImageOptions",
    "ImageSource",
    "LaterSteps",
    "NumpySource",
    "ProtobufSource",
    "Source",
    "TextSource",
    "TokenizedTexts",
    "feeds_of",
    "heads_of",
]
