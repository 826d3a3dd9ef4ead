"""Options of image files, as the user gives them."""

from __future__ import annotations

import dataclasses
from typing import Literal

from .fields import option

__all__ = ["ImageOptions", "Layout"]

Layout = Literal["NCHW", "NHWC"]


@dataclasses.dataclass(frozen=True)
class ImageOptions:
    """The conversion of image files to arrays.

    Images are converted to RGB (or grey, for one channel), resized so that the shorter side
    fits, cropped to the centre, divided by the largest value that they could hold (255 for 8
    bits, 65,535 for 16), then normalised.

    Attributes:
        mean: Subtracted, one number a channel, after that division.
        std: Divided by, likewise.
        layout: `NCHW`, `NHWC`, or None to read it off the model's input.
        size: Height and width; None to read them off the model's input.
    """

    mean: tuple[float, ...] = option(
        (0.485, 0.456, 0.406),
        "Subtracted from pixels of 0 to 1, a number a channel.",
        metavar="M,M,M",
    )
    std: tuple[float, ...] = option(
        (0.229, 0.224, 0.225), "What they are divided by then.", metavar="S,S,S"
    )
    layout: Layout | None = option(None, "Where the model does not tell.", closed=True)
    size: tuple[int, int] | None = option(
        None, "Height and width, where the model leaves them open.", metavar="HxW"
    )
