"""Colour photographs of Debian's opencv-doc, and random crops of them."""

import numpy as np
from PIL import Image

from models.debian import installed
from models.session import Array

PACKAGE = "opencv-doc"
_FOLDER = "/usr/share/doc/opencv-doc/examples"

# Photographs of one scene stay on one side of the split.
TEST = (
    "alphamat/input_images/plant.jpg",
    "data/aloeL.jpg",
    "data/aloeR.jpg",
    "data/building.jpg",
    "data/butterfly.jpg",
    "data/fruits.jpg",
    "data/home.jpg",
    "data/messi5.jpg",
    "data/stuff.jpg",
    "hfs/data/001.jpg",
    "text/scenetext04.jpg",
    "text/scenetext05.jpg",
)
CALIBRATION = (
    "data/Blender_Suzanne1.jpg",
    "data/HappyFish.jpg",
    "data/LinuxLogo.jpg",
    "data/WindowsLogo.jpg",
    "data/aero1.jpg",
    "data/aero3.jpg",
    "data/apple.jpg",
    "data/baboon.jpg",
    "data/blox.jpg",
    "data/board.jpg",
    "data/cards.png",
    "data/chicky_512.png",
    "data/ela_original.jpg",
    "data/graf1.png",
    "data/graf3.png",
    "data/left.jpg",
    "data/leuvenA.jpg",
    "data/licenseplate_motion.jpg",
    "data/orange.jpg",
    "data/pca_test1.jpg",
    "data/rubberwhale1.png",
    "data/smarties.png",
    "data/squirrel_cls.jpg",
    "data/starry_night.jpg",
    "hfs/data/000.jpg",
    "hfs/data/002.jpg",
    "text/scenetext01.jpg",
    "text/scenetext02.jpg",
    "text/scenetext03.jpg",
    "text/scenetext06.jpg",
    "text/scenetext_segmented_word01.jpg",
    "text/scenetext_segmented_word03.jpg",
)


def load(name: str) -> Image.Image:
    """Return a photograph in RGB."""
    with Image.open(installed(f"{_FOLDER}/{name}", PACKAGE)) as image:
        converted: Image.Image = image.convert("RGB")
    return converted


def random_crop(image: Image.Image, size: int, rng: np.random.Generator) -> Array:
    """Cut a random part of 15 to 100 % of the area, mirror it or not, and resize it.

    Returns:
        uint8 [size, size, 3], RGB.
    """
    area = image.width * image.height * rng.uniform(0.15, 1.0)
    ratio = np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
    width = min(image.width, round(np.sqrt(area * ratio)))
    height = min(image.height, round(np.sqrt(area / ratio)))
    left = int(rng.integers(image.width - width + 1))
    top = int(rng.integers(image.height - height + 1))
    box = (left, top, left + width, top + height)
    crop = np.asarray(image.resize((size, size), Image.Resampling.BICUBIC, box))
    return crop[:, ::-1] if rng.random() < 0.5 else crop
