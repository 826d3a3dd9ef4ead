"""PP-OCR's classifier of a line's direction: upright, or turned by 180 degrees."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from models.data.rendering import normalised, render_line
from models.metrics import Mean, divergence
from models.progress import track
from models.recipes.ppocr import CALIBRATION_SEED, TEST_SEED, PpOcrRecipe, line_texts, take
from models.session import Array, Model
from models.storage import parts, save_part

HEIGHT, WIDTH = 48, 192


class PpOcrCls(PpOcrRecipe):
    """Tells a line's direction: x [b, 3, 48, 192] to probabilities [b, 2] of 0 and 180 degrees.

    The data are drawn lines, half of them turned. A line is squeezed to 192 pixels or padded with
    zeros to them, as its own pipeline does.
    """

    name = "ppocr-cls"
    summary = "PP-OCR text direction classifier (MobileNetV3)"
    metric = "accuracy"
    file = "ch_ppocr_mobile_v2.0_cls_infer.onnx"
    calib_lines = 1024
    test_lines = 500

    def build(self, folder: Path) -> None:
        """Copy the model, and draw the lines."""
        self.copy_model(folder)
        calibration, test = line_texts()
        write_directions(folder / "calib", take(calibration, self.calib_lines), CALIBRATION_SEED)
        write_directions(folder / "test", take(test, self.test_lines), TEST_SEED)

    def measure(self, model: Model, dense: Model, limit: int | None) -> dict[str, float]:
        """Return the accuracy, and the agreement with and the divergence to the dense model."""
        accuracy, agreement, kl = Mean(), Mean(), Mean()
        for part in parts(self.test_path, limit):
            probabilities, reference = model(part)[0], dense(part)[0]
            best, rows = probabilities.argmax(1), len(probabilities)
            accuracy.add(float(np.mean(best == part["label"])), rows)
            agreement.add(float(np.mean(best == reference.argmax(1))), rows)
            kl.add(divergence(reference, probabilities), rows)
        return {"accuracy": accuracy.value, "agreement": agreement.value, "kl": kl.value}


def fitted(image: Array) -> Array:
    """Return a line of height 48 as the model's input float32 [3, 48, 192]."""
    if image.shape[1] > WIDTH:
        squeezed = Image.fromarray(image).resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR)
        image = np.asarray(squeezed)
    padded = np.zeros((3, HEIGHT, WIDTH), np.float32)
    padded[:, :, : image.shape[1]] = normalised(image)
    return padded


def write_directions(folder: Path, texts: Sequence[str], seed: int) -> None:
    """Draw texts, turn every other one, and write them with ``label`` 0 (upright) or 1."""
    rng = np.random.default_rng(seed)
    images = []
    for i, text in enumerate(track(texts, f"Drawing {len(texts):,} lines")):
        image = render_line(text, rng)
        images.append(fitted(image[::-1, ::-1] if i % 2 else image))
    labels = np.arange(len(texts)) % 2
    for start in range(0, len(texts), 64):
        rows = slice(start, start + 64)
        save_part(folder, x=np.stack(images[rows]), label=labels[rows])
