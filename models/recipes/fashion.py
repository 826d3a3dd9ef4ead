"""Classifiers of Fashion-MNIST, trained here; the first one is committed with its data."""

from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from models.data import fashion_mnist
from models.errors import RecipeError
from models.metrics import divergence, softmax
from models.progress import say
from models.recipe import Recipe
from models.session import Array, Model

if TYPE_CHECKING:
    from torch import nn


class FashionRecipe(Recipe):
    """A classifier: input ``image`` float32 [batch, 1, 28, 28] in 0..1, output ``logits``.

    Calibration data are training images with labels, `part_images` in each file; test data are
    images of the test split, kept as uint8 under ``image``.
    """

    licence = "Apache-2.0 (trained here); data: Expat"
    source = "trained here on Debian's dataset-fashion-mnist"
    metric = "accuracy"
    trainable = True
    epochs: ClassVar[int]
    peak_rate: ClassVar[float]
    calib_images: ClassVar[int] = 57344
    part_images: ClassVar[int] = 4096
    test_images: ClassVar[int] = 10000

    @abstractmethod
    def network(self) -> "nn.Module":
        """Return the untrained network."""

    def build(self, folder: Path) -> None:
        """Train, export and write the data."""
        self._train_into(folder / "model.onnx")
        self.write_data(folder / "calib", folder / "test" / "0.npz")

    def write_data(self, calib: Path, test_file: Path) -> None:
        """Write the images to calibrate and to test with; they do not depend on the model.

        Args:
            calib: the folder for numbered files of `part_images` images; or one file for all.
            test_file: the file of test images.
        """
        images, labels = fashion_mnist.load("train")
        test_images, test_labels = fashion_mnist.load("t10k")
        rng = np.random.default_rng(0)
        order = np.sort(rng.choice(len(images), self.part_images, replace=False))
        chosen = np.sort(rng.choice(len(test_images), self.test_images, replace=False))
        np.savez_compressed(test_file, image=test_images[chosen], label=test_labels[chosen])
        # Drawn last, so that the first file and the test data do not depend on how many follow.
        others = np.setdiff1d(np.arange(len(images)), order)
        order = np.append(order, rng.permutation(others)[: self.calib_images - len(order)])
        for part, start in enumerate(range(0, len(order), self.part_images)):
            rows = order[start : start + self.part_images]
            file = calib / f"{part}.npz" if calib.is_dir() else calib
            np.savez_compressed(file, image=fashion_mnist.scaled(images[rows]), label=labels[rows])

    def measure(self, model: Model, dense: Model, limit: int | None) -> dict[str, float]:
        """Return the accuracy, and the agreement with and the divergence to the dense model."""
        with np.load(self.test_file) as data:
            images, labels = data["image"][:limit], data["label"][:limit]
        logits, reference = (_logits(each, images) for each in (model, dense))
        return {
            "accuracy": float(np.mean(logits.argmax(1) == labels)),
            "agreement": float(np.mean(logits.argmax(1) == reference.argmax(1))),
            "kl": divergence(softmax(reference), softmax(logits)),
        }

    @property
    def test_file(self) -> Path:
        """The file of test images."""
        return self.test_path / "0.npz"

    def _train_into(self, model_path: Path) -> None:
        try:
            from models import exporting, training  # noqa: PLC0415 - needs torch
        except ImportError as error:
            raise RecipeError(f"Training {self.name} needs torch: install it first.") from error

        images, labels = fashion_mnist.load("train")
        test_images, test_labels = fashion_mnist.load("t10k")
        training.seeded()
        say(f"Training {self.name} for {self.epochs} epochs of {len(images):,} images")
        network = training.train_classifier(
            self.network(),
            fashion_mnist.scaled(images),
            labels,
            epochs=self.epochs,
            peak_rate=self.peak_rate,
        )
        reached = training.accuracy(network, fashion_mnist.scaled(test_images), test_labels)
        say(f"  accuracy on all {len(test_images):,} test images: {reached:.4f}")
        probe = fashion_mnist.scaled(test_images[:7])
        exporting.export(
            network,
            [{"image": probe[:2]}, {"image": probe}, {"image": probe[:1]}],
            model_path,
            output="logits",
            dynamic={"image": {0: "batch"}},
        )


class FashionCnn(FashionRecipe):
    """The bundled default: everything is committed, so the first command works at once."""

    name = "fashion-cnn"
    summary = "plain CNN, 391 k parameters, Fashion-MNIST (bundled)"
    epochs = 5
    peak_rate = 3e-3
    calib_images = 1024
    part_images = 1024
    test_images = 2000

    def network(self) -> "nn.Module":
        """Return the untrained network."""
        from models import networks  # noqa: PLC0415 - needs torch

        return networks.cnn()

    @property
    def folder(self) -> Path:
        """The committed folder."""
        return Path(__file__).parents[1] / "bundled"

    @property
    def model_path(self) -> Path:
        """The dense model."""
        return self.folder / "fashion-cnn.onnx"

    @property
    def calib_path(self) -> Path:
        """The calibration images, with labels."""
        return self.folder / "calib.npz"

    @property
    def test_file(self) -> Path:
        """The file of test images."""
        return self.folder / "test.npz"

    @property
    def is_fetched(self) -> bool:
        """Always true: it is bundled."""
        return True

    def fetch(self, root: Path | None = None, *, force: bool = False) -> bool:  # noqa: ARG002 - as recipes are called
        """Do nothing: the model is bundled."""
        return False

    def train(self) -> None:
        """Train again, into the committed folder."""
        self._train_into(self.model_path)
        self.write_data(self.calib_path, self.test_file)


class FashionResNet(FashionRecipe):
    """A residual network whose stem has stride 2."""

    name = "fashion-resnet"
    summary = "ResNet with a stride-2 stem, Fashion-MNIST"
    epochs = 3
    peak_rate = 5e-3

    def network(self) -> "nn.Module":
        """Return the untrained network."""
        from models import networks  # noqa: PLC0415 - needs torch

        return networks.resnet()


class FashionVit(FashionRecipe):
    """A vision transformer of width 96 and 4 layers, on patches of 7 x 7."""

    name = "fashion-vit"
    summary = "vision transformer (width 96, 4 layers), Fashion-MNIST"
    epochs = 6
    peak_rate = 1e-3

    def network(self) -> "nn.Module":
        """Return the untrained network."""
        from models import networks  # noqa: PLC0415 - needs torch

        return networks.VisionTransformer()


def _logits(model: Model, images: Array) -> Array:
    batches = (images[i : i + 500] for i in range(0, len(images), 500))
    return np.concatenate([model({"image": fashion_mnist.scaled(batch)})[0] for batch in batches])
