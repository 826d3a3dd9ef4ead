"""What every recipe is: a name, a licence, a way to build its folder, and a metric."""

import json
import os
import shutil
import tempfile
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from models.errors import RecipeError
from models.session import Model

ROOT_VARIABLE = "ONNX_FACTORIZE_MODELS"
_STAMP = "recipe.json"


def default_root() -> Path:
    """Return the cache's root: ``$ONNX_FACTORIZE_MODELS``, or ``cache`` beside this file."""
    override = os.environ.get(ROOT_VARIABLE)
    return Path(override) if override else Path(__file__).parent / "cache"


class Recipe(ABC):
    """A model with its calibration data, its test data and its metric.

    A subclass states the class attributes and implements `build` and `measure`. `build` writes
    ``model.onnx``, ``calib/`` and ``test/`` into the folder that it is given.

    Args:
        root: the cache's root; by default that of `default_root`.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    licence: ClassVar[str]
    source: ClassVar[str]
    metric: ClassVar[str]
    trainable: ClassVar[bool] = False

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or default_root()

    @property
    def folder(self) -> Path:
        """The folder that holds everything of this model."""
        return self.root / self.name

    @property
    def model_path(self) -> Path:
        """The dense model."""
        return self.folder / "model.onnx"

    @property
    def calib_path(self) -> Path:
        """The calibration data, in the form that ``--calib`` takes."""
        return self.folder / "calib"

    @property
    def test_path(self) -> Path:
        """The data with truth that `evaluate` uses."""
        return self.folder / "test"

    @property
    def is_fetched(self) -> bool:
        """Whether the folder is complete."""
        return (self.folder / _STAMP).is_file()

    def fetch(self, root: Path | None = None, *, force: bool = False) -> bool:
        """Build the folder, unless it is there already. It appears whole or not at all.

        Args:
            root: use this cache root from now on.
            force: build it again even if it is there.

        Returns:
            Whether anything was built.

        Raises:
            RecipeError: a package, a file or a library is missing.
        """
        self.root = root or self.root
        if self.is_fetched and not force:
            return False
        self.root.mkdir(parents=True, exist_ok=True)
        start = time.monotonic()
        with tempfile.TemporaryDirectory(prefix=f".{self.name}-", dir=self.root) as temporary:
            folder = Path(temporary) / self.name
            for part in (folder, folder / "calib", folder / "test"):
                part.mkdir()
            self.build(folder)
            stamp = {
                "name": self.name,
                "licence": self.licence,
                "source": self.source,
                "seconds": round(time.monotonic() - start, 1),
            }
            (folder / _STAMP).write_text(json.dumps(stamp, indent=2) + "\n", encoding="utf-8")
            if self.folder.exists():
                shutil.rmtree(self.folder)
            folder.rename(self.folder)
        return True

    def train(self) -> None:
        """Train the model again and replace the one that is there.

        Raises:
            RecipeError: this model is not trained here.
        """
        if not self.trainable:
            raise RecipeError(f"{self.name} is not trained here: it comes from {self.source}.")
        self.fetch(force=True)

    def evaluate(self, path: Path | str, limit: int | None = None) -> dict[str, float]:
        """Measure a variant of this model against the truth of the test data.

        Args:
            path: the ONNX file to measure; it has this model's inputs and outputs.
            limit: use at most so many test samples.

        Returns:
            The metrics by name; the first one is the recipe's main metric.

        Raises:
            RecipeError: the recipe is not fetched, or the file cannot be run.
        """
        if not self.is_fetched:
            raise RecipeError(
                f"{self.name} is not here yet: run `python -m models fetch {self.name}`."
            )
        model, dense = Model(Path(path)), Model(self.model_path)
        missing = [name for name in model.inputs if name not in dense.inputs]
        if missing:
            raise RecipeError(
                f"{path} wants an input called {missing[0]!r}, which {self.name} has not."
            )
        return self.measure(model, dense, limit)

    @abstractmethod
    def build(self, folder: Path) -> None:
        """Write ``model.onnx``, ``calib/`` and ``test/`` into `folder`, which is empty."""

    @abstractmethod
    def measure(self, model: Model, dense: Model, limit: int | None) -> dict[str, float]:
        """Return the metrics of `model`; `dense` is the original, for agreement."""
