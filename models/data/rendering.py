"""Text drawn with the DejaVu faces: exact truth for recognisers and detectors."""

from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from models.debian import installed
from models.session import Array

PACKAGE = "fonts-dejavu-core"
_FOLDER = "/usr/share/fonts/truetype/dejavu"
FACES = (
    "DejaVuSans",
    "DejaVuSans-Bold",
    "DejaVuSansMono",
    "DejaVuSansMono-Bold",
    "DejaVuSerif",
    "DejaVuSerif-Bold",
)

Colour = tuple[int, int, int]


@cache
def font(face: str, size: int) -> ImageFont.FreeTypeFont:
    """Return a face at a size in pixels."""
    return ImageFont.truetype(str(installed(f"{_FOLDER}/{face}.ttf", PACKAGE)), size)


def random_font(rng: np.random.Generator, low: int, high: int) -> ImageFont.FreeTypeFont:
    """Return a random face, at a size of `low` to `high` pixels, both included."""
    return font(FACES[rng.integers(len(FACES))], int(rng.integers(low, high + 1)))


def random_colours(rng: np.random.Generator) -> tuple[Colour, Colour]:
    """Return a paper's and an ink's colour whose luminances differ by at least 60 of 255."""
    while True:
        paper, ink = rng.integers(0, 256, (2, 3))
        if rng.random() < 0.6:  # most print is dark on light
            paper, ink = 255 - paper // 5, ink // 3
        if abs((paper - ink) @ (0.299, 0.587, 0.114)) > 60:
            return _colour(paper), _colour(ink)


def render_line(text: str, rng: np.random.Generator, height: int = 48) -> Array:
    """Draw one line of text in a random face, size, colour, slant, blur and noise.

    Args:
        text: what to draw.
        rng: where the randomness comes from.
        height: of the image, in pixels.

    Returns:
        uint8 [height, w, 3], BGR as OpenCV reads images; w follows from the text.
    """
    face = random_font(rng, round(height * 0.5), round(height * 0.72))
    paper, ink = random_colours(rng)
    left, top, right, bottom = face.getbbox(text)
    margin = int(rng.integers(2, 14))
    width = round(right - left) + 2 * margin
    image = Image.new("RGB", (width, height), paper)
    y = (height - (bottom - top)) / 2 - top + rng.uniform(-2, 2)
    ImageDraw.Draw(image).text((margin - left, y), text, font=face, fill=ink)
    if rng.random() < 0.5:
        image = image.rotate(rng.uniform(-1.5, 1.5), Image.Resampling.BILINEAR, fillcolor=paper)
    return degrade(image, rng)


def degrade(image: Image.Image, rng: np.random.Generator) -> Array:
    """Lose resolution, blur, shade and add noise, each at random.

    Returns:
        uint8 [h, w, 3], BGR.
    """
    if rng.random() < 0.4:
        scale = rng.uniform(0.3, 0.7)
        small = image.resize((round(image.width * scale), round(image.height * scale)))
        image = small.resize(image.size, Image.Resampling.BILINEAR)
    if rng.random() < 0.4:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.2)))
    pixels = np.asarray(image, np.float32)[:, :, ::-1]
    if rng.random() < 0.3:
        left, right = rng.uniform(-25, 25, 2)
        shade = np.linspace(left, right, pixels.shape[1])
        pixels = pixels + shade.astype(np.float32)[None, :, None]
    if rng.random() < 0.5:
        noise = rng.standard_normal(pixels.shape, dtype=np.float32)
        pixels = pixels + np.float32(rng.uniform(1, 24)) * noise
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def normalised(image: Array) -> Array:
    """Return a uint8 image [h, w, 3] as the PP-OCR models want it: float32 [3, h, w] in -1..1."""
    scaled = (image.astype(np.float32) / np.float32(255) - np.float32(0.5)) / np.float32(0.5)
    return np.ascontiguousarray(scaled.transpose(2, 0, 1))


def _colour(values: Array) -> Colour:
    red, green, blue = (int(value) for value in values)
    return red, green, blue
