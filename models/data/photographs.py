"""Colour photographs of Debian packages and of one wheel, and random crops of them."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from models.debian import installed
from models.packages import unpacked
from models.session import Array

_OPENCV = "/usr/share/doc/opencv-doc/examples"

# Wallpapers are larger than any crop needs.
_LONGEST_SIDE = 1600

# Photographs of one scene stay on one side of the split. All of opencv-doc.
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


# Folder, package, and names.
_WALLPAPERS = (
    (
        "/usr/share/backgrounds",
        "lomiri-wallpapers-16.04",
        (
            "Bridge_by_Sander_Klootwijk.jpg",
            "Dragonfly_by_Bolly.jpg",
            "Picture_0B_by_freespace.jpg",
            "Picture_1A_by_freespace.jpg",
            "Wine_by_Jakkub_Mede.jpg",
            "aitzgorri_by_Aitzol_Berasategi.jpg",
            "analogpattern_by_Peter_Nerlich.jpg",
            "free_by_Peter_Nerlich.jpg",
            "friends_by_Aitzol_Berasategi.jpg",
            "greentock_by_Peter_Nerlich.jpg",
            "life_by_Aitzol_Berasategi.jpg",
            "picosdeeuropa_by_Aitzol_Berasategi.jpg",
            "seeding_by_Clements_Engelhardt.jpg",
            "sunset_by_Aitzol_Berasategi.jpg",
            "umang_by_Abhishek_Mudgal.jpg",
        ),
    ),
    (
        "/usr/share/backgrounds",
        "lomiri-wallpapers-20.04",
        (
            "Fossa_by_Jasper_Roks.jpg",
            "Infinite-Sea_by_Aury88.jpg",
            "Kleiber_by_Lukas_Baubkus.jpg",
            "Painting-Colors_by__herobrine7gamer.jpg",
        ),
    ),
    (
        "/usr/share/backgrounds/mate/nature",
        "mate-backgrounds",
        (
            "Aqua.jpg",
            "Blinds.jpg",
            "Dune.jpg",
            "FreshFlower.jpg",
            "Garden.jpg",
            "GreenMeadow.jpg",
            "LadyBird.jpg",
            "RainDrops.jpg",
            "Storm.jpg",
            "TwoWings.jpg",
            "Wood.jpg",
            "YellowFlower.jpg",
        ),
    ),
    (
        "/usr/share/wallpapers",
        "plasma-workspace-wallpapers",
        tuple(
            f"{name}/contents/images/2560x1600.jpg"
            for name in (
                "Autumn",
                "BytheWater",
                "ColorfulCups",
                "DarkestHour",
                "EveningGlow",
                "FallenLeaf",
                "Grey",
                "Kite",
                "OneStandsOut",
                "Path",
            )
        ),
    ),
)


def for_test() -> list[Image.Image]:
    """Return the photographs to test with."""
    return list(_of_package(_OPENCV, "opencv-doc", TEST))


def for_calibration() -> list[Image.Image]:
    """Return the photographs to calibrate on: of all sources, none of a scene of the tests."""
    sources = ((_OPENCV, "opencv-doc", CALIBRATION), *_WALLPAPERS)
    images = [image for source in sources for image in _of_package(*source)]
    return [*images, *_of_imagenet()]


def _of_package(folder: str, package: str, names: Sequence[str]) -> Iterator[Image.Image]:
    """Yield photographs that a Debian package installs."""
    for name in names:
        yield _opened(installed(f"{folder}/{name}", package))


def _of_imagenet() -> Iterator[Image.Image]:
    """Yield the 20 photographs of ImageNet that foolbox carries."""
    with unpacked("foolbox", "3.3.4") as package:
        for path in sorted((package / "foolbox" / "data").glob("imagenet_*.jpg")):
            yield _opened(path)


def _opened(path: Path) -> Image.Image:
    """Return a photograph in RGB, no larger than is needed."""
    with Image.open(path) as image:
        converted: Image.Image = image.convert("RGB")
    converted.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
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
