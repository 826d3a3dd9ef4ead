"""Labels in the forms in which people keep them."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from builders import model

from onnx_factorize.calibration import Signature, open_calibration
from onnx_factorize.calibration.inputs.labels import class_numbers, read_labels, values_of
from onnx_factorize.options import Selection


@pytest.mark.parametrize(
    ("labels", "wanted"),
    [
        ([2, 0, 1], [2, 0, 1]),
        ([[2], [0], [1]], [2, 0, 1]),
        ([2.0, np.nan, 1.0], [2, -1, 1]),
        ([2, -100, 1], [2, -1, 1]),
        ([[0, 0, 1], [1, 0, 0], [0, 0, 0]], [2, 0, -1]),
        ([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]], [2, 0, 1]),
        ([True, False, True], [1, 0, 1]),
        (["cat", "dog", "cat"], None),
        ([0.5, 1, 2], None),
        ([[1, 0, 1], [1, 0, 0], [0, 1, 0]], None),
        ([1, 2], None),
    ],
)
def test_class_numbers(labels, wanted):
    found = class_numbers(np.array(labels), (3, 3), -1)
    assert (None if found is None else found.tolist()) == wanted


def test_class_numbers_of_maps_and_sequences():
    """Classes along axis 1 of a map; one-hot along the same axis; labels of tokens."""
    numbers = np.random.default_rng(1).integers(0, 5, (2, 4, 4))
    hot = np.moveaxis(np.eye(5, dtype=int)[numbers], -1, 1)
    for labels in (numbers, numbers[:, None], hot):
        np.testing.assert_array_equal(class_numbers(labels, (2, 5, 4, 4), 1), numbers)


def test_values():
    assert values_of(np.arange(3), (3, 1)).shape == (3, 1)
    assert values_of(np.arange(3), (3, 2)) is None
    assert values_of(np.array(["a"]), (1,)) is None


def test_texts_that_are_numbers():
    found = read_labels({"label": ["3", "10"]}, set(), "f")
    assert found.tolist() == [3, 10]
    assert read_labels({"label": None}, set(), "f") is None
    assert read_labels({"label": [1]}, {"label"}, "f") is None


@pytest.mark.parametrize(
    ("feeds", "wanted"),
    [
        ([{"x": np.full(3, i), "label": i} for i in range(6)], (6,)),
        ([{"x": np.full((1, 3), i), "label": i} for i in range(6)], (6,)),
        ([{"x": np.full((1, 3), i), "label": [i]} for i in range(6)], (6,)),
        ([{"x": np.full((3, 3), i), "label": [i] * 3} for i in range(2)], (6,)),
        ([{"x": np.full((3, 3), i), "label": [[i]] * 3} for i in range(2)], (6, 1)),
        ([{"x": np.full(3, i), "label": [i, i]} for i in range(6)], (6, 2)),
    ],
)
def test_labels_of_rows_and_of_batches(feeds, wanted):
    for feed in feeds:
        feed["x"] = feed["x"].astype(np.float32)
    proto = model("(float[b, 3] x) => (float[?, ?] y) { y = Neg (x) }")
    signature = Signature.of(ir.from_proto(proto))
    (batch,) = open_calibration(feeds, signature, Selection(holdout=0.0)).batches("calibration")
    assert batch.labels.shape == wanted
    np.testing.assert_array_equal(batch.labels.reshape(6, -1)[:, 0], batch.feeds["x"][:, 0])


def test_some_feeds_without_labels():
    feeds = [{"x": np.zeros((1, 3), np.float32), "label": i if i % 3 else None} for i in range(9)]
    proto = model("(float[b, 3] x) => (float[?, ?] y) { y = Neg (x) }")
    signature = Signature.of(ir.from_proto(proto))
    batches = list(
        open_calibration(feeds, signature, Selection(holdout=0.0)).batches("calibration")
    )
    assert [None if b.labels is None else b.labels.tolist() for b in batches] == [
        None, [1, 2], None, [4, 5], None, [7, 8],
    ]  # fmt: skip
