"""Labels that come with the data: how they are fed, and what is said where they do not fit."""

from __future__ import annotations

import numpy as np
import pytest

from onnx_factorize import InputError
from onnx_factorize.calibration import Batch
from onnx_factorize.given_labels import check_labels, fed_labels, labelled_output
from onnx_factorize.passes import OutputKind

CLASSES = OutputKind("categorical", -1, "logit")


def _batch(labels):
    return Batch({}, 2, labels, "data.npz")


def test_classes_become_a_distribution_along_their_axis():
    labels = np.array([[0, 2, -1], [1, 5, 2]])
    last = fed_labels(labels, CLASSES, 3)
    assert last.shape == (2, 3, 3)
    assert np.array_equal(last[0], [[1, 0, 0], [0, 0, 1], [0, 0, 0]])
    assert np.array_equal(last[1], [[0, 1, 0], [0, 0, 0], [0, 0, 1]])
    middle = fed_labels(labels, OutputKind("categorical", 1), 3)
    assert np.array_equal(middle, last.transpose(0, 2, 1))


def test_other_labels_are_fed_as_they_are():
    labels = np.array([[0.5, 1.0]])
    assert np.array_equal(fed_labels(labels, OutputKind("gaussian"), 1), labels)


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (None, "needs a key 'label'"),
        (np.zeros((2, 4), np.int64), r"wants numbers of shape \[2\]"),
        (np.array(["a", "b"]), "type <U1"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels, says):
    with pytest.raises(InputError, match=says):
        check_labels(_batch(labels), CLASSES, (2, 10))


def test_labels_belong_to_one_output():
    kinds = {"a": CLASSES, "b": OutputKind("gaussian"), "c": OutputKind("ignore")}
    assert labelled_output({"a": CLASSES, "c": OutputKind("ignore")}) == "a"
    with pytest.raises(InputError, match="a, b"):
        labelled_output(kinds)
