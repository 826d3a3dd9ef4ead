"""Photographic stamps of Debian's tuxpaint-stamps-default, each with a name in English."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from models.session import Array

PACKAGE = "tuxpaint-stamps-default"
_FOLDER = "/usr/share/tuxpaint/stamps"
_DRAWN = {"cartoon", "toys", "symbols", "roadsigns"}


def available() -> bool:
    """Tell whether the package is installed; it is optional, because it takes 161 MB."""
    return Path(_FOLDER).is_dir()


def named() -> Iterator[tuple[Path, str]]:
    """Yield each stamp's file with the noun that names it, in the order of the paths."""
    for path in sorted(Path(_FOLDER).rglob("*.png")):
        text = path.with_suffix(".txt")
        if _DRAWN.isdisjoint(path.parts) and text.is_file():
            first, *_ = [*text.read_text(encoding="utf-8").splitlines(), ""]
            yield path, noun_of(first)


def noun_of(description: str) -> str:
    """Return a description without article and full stop: "A sea lion." is "sea lion"."""
    return re.sub(r"^(an?|the|some)\s+", "", description.strip().rstrip(".!"), flags=re.I).lower()


def load(path: Path, size: int) -> Array:
    """Return a stamp on a white square, with a twentieth of margin: uint8 [size, size, 3], RGB."""
    with Image.open(path) as image:
        stamp = image.convert("RGBA")
    inner = round(size * 0.9)
    scale = inner / max(stamp.size)
    shape = (max(1, round(stamp.width * scale)), max(1, round(stamp.height * scale)))
    stamp = stamp.resize(shape, Image.Resampling.BICUBIC)
    page = Image.new("RGBA", (size, size), "white")
    page.alpha_composite(stamp, ((size - stamp.width) // 2, (size - stamp.height) // 2))
    return np.asarray(page.convert("RGB"))
