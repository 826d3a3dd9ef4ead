"""Pages of drawn text, with the boxes of their lines."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from models.data.rendering import degrade, random_colours, random_font
from models.session import Array

HEIGHT, WIDTH = 480, 640


@dataclass(frozen=True)
class Box:
    """A line's box in pixels, right and bottom excluded."""

    left: int
    top: int
    right: int
    bottom: int


def render_page(texts: Iterator[str], rng: np.random.Generator) -> tuple[Array, list[Box]]:
    """Draw a page of lines in one or two columns, each in a face and size of its own.

    Args:
        texts: endless texts; a page takes as many as fit it.
        rng: where the randomness comes from.

    Returns:
        uint8 [480, 640, 3] in BGR, and the lines' boxes.
    """
    paper, ink = random_colours(rng)
    image = Image.new("RGB", (WIDTH, HEIGHT), paper)
    draw = ImageDraw.Draw(image)
    boxes = []
    columns = int(rng.integers(1, 3))
    for column in range(columns):
        start, end = column * WIDTH // columns, (column + 1) * WIDTH // columns
        y = int(rng.integers(8, 60))
        while True:
            face = random_font(rng, 14, 38)
            text = next(texts)
            left, top, right, bottom = (round(edge) for edge in face.getbbox(text))
            if y + bottom - top > HEIGHT - 8:
                break
            if right - left < end - start - 24:
                x = int(rng.integers(start + 8, end - 8 - (right - left)))
                draw.text((x - left, y - top), text, font=face, fill=ink)
                boxes.append(Box(x, y, x + right - left, y + bottom - top))
                y += round((bottom - top) * rng.uniform(1.5, 3.0)) + 4
    return degrade(image, rng), boxes


def shrunk_mask(boxes: list[Box], ratio: float = 0.6) -> Array:
    """Return the mask that DBNet learns to predict: each box shrunk on all sides.

    The offset is ``area * (1 - ratio^2) / perimeter`` (Liao et al. 2020, section 3.4). The paper's
    ratio is 0.4; the masks of PP-OCRv4's dense model are nearest to those of about 0.6.

    Returns:
        bool [480, 640].
    """
    mask = np.zeros((HEIGHT, WIDTH), bool)
    for box in boxes:
        width, height = box.right - box.left, box.bottom - box.top
        offset = round(width * height * (1 - ratio**2) / (2 * (width + height)))
        mask[box.top + offset : box.bottom - offset, box.left + offset : box.right - offset] = True
    return mask
