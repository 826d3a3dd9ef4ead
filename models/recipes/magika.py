"""magika, a classifier of file types."""

import json
import shutil
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.data import files
from models.metrics import Mean, divergence
from models.packages import unpacked
from models.progress import say, track
from models.recipe import Recipe
from models.session import Array, Model
from models.storage import parts, save_part


@dataclass(frozen=True)
class Layout:
    """How the model's input is made of a file: the first and the last tokens (bytes).

    Attributes:
        first: how many tokens of the beginning.
        last: how many tokens of the end.
        block: bytes that are read at either end, and stripped of outer white space.
        padding: the token where the file has no byte.
    """

    first: int = 1024
    last: int = 1024
    block: int = 4096
    padding: int = 256


class Magika(Recipe):
    """Tells a file's type: ``bytes`` int32 [b, 2048] to probabilities [b, 214].

    The data are files of this machine whose extension names one type (`models.data.files`), up to
    100 of a type, half for calibration and half for the test. Files with the same features are
    used once. The figures therefore differ a little from machine to machine.
    """

    name = "magika"
    summary = "magika file type classifier (standard_v3_3)"
    licence = "Apache-2.0"
    source = "magika 1.0.3 (PyPI)"
    metric = "accuracy"
    most_of_a_type = 100

    def build(self, folder: Path) -> None:
        """Copy the model, and read the files."""
        with unpacked("magika", "1.0.3") as package:
            source = package / "magika/models/standard_v3_3"
            shutil.copy(source / "model.onnx", folder / "model.onnx")
            config = json.loads((source / "config.min.json").read_text(encoding="utf-8"))
        layout = Layout(
            config["beg_size"], config["end_size"], config["block_size"], config["padding_token"]
        )
        label_of = {name: i for i, name in enumerate(config["target_labels_space"])}
        say("Looking for files of known type")
        roots = [Path("/usr/lib"), Path("/usr/share"), Path(sysconfig.get_path("purelib"))]
        found = files.find(roots, self.most_of_a_type, seed=0)
        rows: dict[bytes, tuple[Array, int]] = {}
        for path, kind in track(found, f"Reading {len(found):,} files"):
            if kind in label_of:
                tokens = features_of_file(path, layout)
                rows.setdefault(tokens.tobytes(), (tokens, label_of[kind]))
        for offset, name in enumerate(("calib", "test")):
            chosen = list(rows.values())[offset::2]
            for start in range(0, len(chosen), 64):
                batch = chosen[start : start + 64]
                tokens = np.stack([tokens for tokens, _ in batch])
                save_part(folder / name, bytes=tokens, label=np.array([y for _, y in batch]))

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


def features(beginning: bytes, end: bytes, layout: Layout) -> Array:
    """Return the tokens int32 [first + last] of a file's first and last block."""
    tokens = np.full(layout.first + layout.last, layout.padding, np.int32)
    head = np.frombuffer(beginning.lstrip()[: layout.first], np.uint8)
    tail = np.frombuffer(end.rstrip()[-layout.last :], np.uint8)
    tokens[: len(head)] = head
    tokens[len(tokens) - len(tail) :] = tail
    return tokens


def features_of_file(path: Path, layout: Layout) -> Array:
    """Return a file's tokens."""
    with path.open("rb") as stream:
        beginning = stream.read(layout.block)
        stream.seek(-min(layout.block, path.stat().st_size), 2)
        return features(beginning, stream.read(), layout)
