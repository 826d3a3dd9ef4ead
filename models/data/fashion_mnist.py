"""Fashion-MNIST: 70,000 grey 28 x 28 images of clothes in ten classes (IDX files, gzip)."""

import gzip

import numpy as np

from models.debian import installed
from models.session import Array

PACKAGE = "dataset-fashion-mnist"
_FOLDER = "/usr/share/datasets/fashion-mnist"


def load(split: str) -> tuple[Array, Array]:
    """Return a split's images and labels.

    Args:
        split: ``train`` (60,000) or ``t10k`` (10,000).

    Returns:
        Images uint8 [n, 1, 28, 28] and labels int64 [n].
    """
    images = _read_idx(f"{_FOLDER}/{split}-images-idx3-ubyte.gz", header=16)
    labels = _read_idx(f"{_FOLDER}/{split}-labels-idx1-ubyte.gz", header=8)
    return images.reshape(-1, 1, 28, 28), labels.astype(np.int64)


def scaled(images: Array) -> Array:
    """Return uint8 images as float32 in 0..1."""
    return np.asarray(images.astype(np.float32) / np.float32(255))


def _read_idx(path: str, header: int) -> Array:
    with gzip.open(installed(path, PACKAGE)) as stream:
        return np.frombuffer(stream.read(), np.uint8, offset=header)
