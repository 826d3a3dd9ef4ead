"""What the three PP-OCR recipes share: their package, and lines to draw."""

import shutil
from itertools import islice
from pathlib import Path

from models.data import wordnet
from models.data.lines import LineComposer
from models.packages import unpacked
from models.recipe import Recipe

CALIBRATION_SEED = 1
TEST_SEED = 2


class PpOcrRecipe(Recipe):
    """A model of rapidocr-onnxruntime's: input ``x`` float32 [b, 3, h, w], BGR in -1..1."""

    licence = "Apache-2.0"
    source = "rapidocr-onnxruntime 1.4.4 (PyPI)"
    file: str

    def copy_model(self, folder: Path) -> None:
        """Put the package's model into `folder`."""
        with unpacked("rapidocr-onnxruntime", "1.4.4") as package:
            shutil.copy(package / "rapidocr_onnxruntime/models" / self.file, folder / "model.onnx")


def line_texts() -> tuple[LineComposer, LineComposer]:
    """Return endless texts for calibration and for testing, of disjoint synsets."""
    shuffled = wordnet.load_shuffled(seed=0)
    cut = len(shuffled) * 4 // 5
    return (
        LineComposer(shuffled[:cut], CALIBRATION_SEED),
        LineComposer(shuffled[cut:], TEST_SEED),
    )


def take(texts: LineComposer, count: int) -> list[str]:
    """Return the first `count` texts."""
    return list(islice(texts, count))
