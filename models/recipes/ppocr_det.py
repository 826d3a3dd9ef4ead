"""PP-OCRv4's text detector (DBNet)."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from models.data.pages import render_page, shrunk_mask
from models.data.rendering import normalised
from models.metrics import Overlap
from models.progress import track
from models.recipes.ppocr import CALIBRATION_SEED, TEST_SEED, PpOcrRecipe, line_texts
from models.session import Model
from models.storage import parts, save_part

THRESHOLD = 0.3
PAGES_A_FILE = 8


class PpOcrDet(PpOcrRecipe):
    """Finds text: x [b, 3, h, w] to a map of probabilities [b, 1, h, w].

    The data are pages of 640 x 480 with lines drawn with DejaVu faces. The truth of a pixel is
    whether it lies in a line's box, shrunk as the model was trained to predict it.
    """

    name = "ppocr-det"
    summary = "PP-OCRv4 text detector (DBNet)"
    metric = "pixel F1"
    file = "ch_PP-OCRv4_det_infer.onnx"
    calib_pages = 128
    test_pages = 32

    def build(self, folder: Path) -> None:
        """Copy the model, and draw the pages."""
        self.copy_model(folder)
        calibration, test = line_texts()
        write_pages(folder / "calib", iter(calibration), self.calib_pages, CALIBRATION_SEED)
        write_pages(folder / "test", iter(test), self.test_pages, TEST_SEED, with_mask=True)

    def measure(self, model: Model, dense: Model, limit: int | None) -> dict[str, float]:
        """Return F1 and IoU of the map above 0.3 against the truth, and IoU with the dense map."""
        truth, agreement = Overlap(), Overlap()
        error = power = 0.0
        for part in parts(self.test_path, limit):
            found, reference = model(part)[0][:, 0], dense(part)[0][:, 0]
            truth.add(part["mask"], found > THRESHOLD)
            agreement.add(reference > THRESHOLD, found > THRESHOLD)
            error += float(np.sum(np.square(found - reference, dtype=np.float64)))
            power += float(np.sum(np.square(reference, dtype=np.float64)))
        return {
            "pixel F1": truth.f1,
            "pixel IoU": truth.iou,
            "agreement IoU": agreement.iou,
            "relative error": error / power,
        }


def write_pages(
    folder: Path, texts: Iterator[str], count: int, seed: int, *, with_mask: bool = False
) -> None:
    """Draw `count` pages into files of eight; `with_mask` also stores the truth, as ``mask``."""
    rng = np.random.default_rng(seed)
    starts = range(0, count, PAGES_A_FILE)
    for start in track(starts, f"Drawing {count} pages"):
        pages = [render_page(texts, rng) for _ in range(min(PAGES_A_FILE, count - start))]
        images = np.stack([normalised(image) for image, _ in pages])
        truth = {"mask": np.stack([shrunk_mask(boxes) for _, boxes in pages])} if with_mask else {}
        save_part(folder, x=images, **truth)
