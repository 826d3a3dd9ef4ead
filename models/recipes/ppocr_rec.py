"""PP-OCRv4's text recogniser (SVTR-LCNet, CTC)."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from models.ctc import greedy, right_words
from models.data.rendering import normalised, render_line
from models.metrics import Mean, divergence
from models.progress import track
from models.recipes.ppocr import CALIBRATION_SEED, TEST_SEED, PpOcrRecipe, line_texts, take
from models.session import Array, Model
from models.storage import parts, save_part

BUCKET = 64
WIDEST = 640


class PpOcrRec(PpOcrRecipe):
    """Reads lines of text: x [b, 3, 48, w] to probabilities [b, t, 6625].

    The data are lines drawn with DejaVu faces, texts composed from WordNet, calibration and test
    from disjoint synsets. A line is padded on the right with zeros to a multiple of 64 pixels, as
    its own pipeline pads; a file holds up to 32 lines of one width.
    """

    name = "ppocr-rec"
    summary = "PP-OCRv4 text recogniser (conv + transformer, CTC)"
    metric = "word accuracy"
    file = "ch_PP-OCRv4_rec_infer.onnx"
    calib_lines = 6144
    test_lines = 300

    def build(self, folder: Path) -> None:
        """Copy the model, and draw the lines."""
        self.copy_model(folder)
        calibration, test = line_texts()
        write_lines(folder / "calib", take(calibration, self.calib_lines), CALIBRATION_SEED)
        write_lines(folder / "test", take(test, self.test_lines), TEST_SEED, with_text=True)

    def measure(self, model: Model, dense: Model, limit: int | None) -> dict[str, float]:
        """Return word and line accuracy, and agreement with and divergence to the dense model.

        A word counts as right when it is in the longest common subsequence of the true and the
        read words. The divergence is a mean over time steps.
        """
        charset = charset_of(dense)
        words, lines, agreement, kl = Mean(), Mean(), Mean(), Mean()
        for part in parts(self.test_path, limit):
            probabilities, reference = model(part)[0], dense(part)[0]
            read, expected = greedy(probabilities, charset), greedy(reference, charset)
            kl.add(divergence(reference, probabilities), reference.shape[0] * reference.shape[1])
            for truth, text, dense_text in zip(part["text"], read, expected, strict=True):
                count = len(truth.split())
                words.add(right_words(truth, text) / count, count)
                lines.add(text == truth)
                agreement.add(text == dense_text)
        return {
            "word accuracy": words.value,
            "line accuracy": lines.value,
            "agreement": agreement.value,
            "kl": kl.value,
        }


def charset_of(model: Model) -> list[str]:
    """Return the text of each symbol: blank, the metadata's characters, space."""
    return ["", *model.metadata()["character"].split("\n"), " "]


def write_lines(folder: Path, texts: Sequence[str], seed: int, *, with_text: bool = False) -> None:
    """Draw texts, and write them to files of one width each.

    Args:
        folder: where to.
        texts: what to draw; a line wider than `WIDEST` is drawn up to its last fitting word.
        seed: of the drawing.
        with_text: also store the truth, under ``text``.
    """
    rng = np.random.default_rng(seed)
    buckets: dict[int, list[tuple[Array, str]]] = defaultdict(list)
    for text in track(texts, f"Drawing {len(texts):,} lines"):
        fitting, image = text, render_line(text, rng)
        while image.shape[1] > WIDEST:
            fitting = fitting.rsplit(" ", 1)[0] if " " in fitting else fitting[: len(fitting) // 2]
            image = render_line(fitting, rng)
        buckets[-(-image.shape[1] // BUCKET) * BUCKET].append((normalised(image), fitting))
    for width, lines in sorted(buckets.items()):
        for start in range(0, len(lines), 32):
            chunk = lines[start : start + 32]
            batch = np.zeros((len(chunk), 3, 48, width), np.float32)
            for row, (image, _) in zip(batch, chunk, strict=True):
                row[:, :, : image.shape[2]] = image
            truth = {"text": np.array([text for _, text in chunk])} if with_text else {}
            save_part(folder, x=batch, **truth)
