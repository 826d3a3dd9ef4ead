"""Options of files that are no arrays, by what they hold."""

from __future__ import annotations

import dataclasses

from .images import ImageOptions
from .texts import TextOptions

__all__ = ["FileOptions"]


@dataclasses.dataclass(frozen=True)
class FileOptions:
    """The conversion of files to what a model is fed.

    Attributes:
        images: How image files become arrays.
        texts: How text files become token ids.
    """

    images: ImageOptions = dataclasses.field(default_factory=ImageOptions)
    texts: TextOptions = dataclasses.field(default_factory=TextOptions)
