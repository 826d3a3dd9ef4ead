"""Labels that come with the data: how they are fed, and what is said where they do not fit."""

from __future__ import annotations

import numpy as np
import pytest

from onnx_factorize import InputError
from onnx_factorize.calibration import Batch
from onnx_factorize.outputs.categorical import one_hot
from onnx_factorize.outputs.given_labels import check_labels, labelled_output, mixed_with_labels
from onnx_factorize.passes import OutputKind

CLASSES = OutputKind("categorical", -1, "logit")


def _batch(labels):
    return Batch({}, 2, labels, "data.npz")


def test_classes_become_a_distribution_along_their_axis():
    labels = np.array([[0, 2, -1], [1, 5, 2]])
    last = one_hot(labels, 2, 3)
    assert last.shape == (2, 3, 3)
    assert np.array_equal(last[0], [[1, 0, 0], [0, 0, 1], [0, 0, 0]])
    assert np.array_equal(last[1], [[0, 1, 0], [0, 0, 0], [0, 0, 1]])
    middle = one_hot(labels, 1, 3)
    assert np.array_equal(middle, last.transpose(0, 2, 1))


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (None, "need a key 'label'"),
        (np.zeros((2, 4), np.int64), r"wants numbers of shape \[2\]"),
        (np.array(["a", "b"]), "type <U1"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels, says):
    with pytest.raises(InputError, match=says):
        check_labels(_batch(labels), CLASSES, (2, 10))


def test_labels_belong_to_one_output():
    assert labelled_output(["a"]) == "a"
    with pytest.raises(InputError, match="a, b"):
        labelled_output(["a", "b"])


@pytest.mark.parametrize("scale", ["logit", "log-probability", "probability"])
@pytest.mark.parametrize("axis", [1, 2])
def test_the_teacher_and_the_truth_are_mixed_as_their_losses_are(scale, axis):
    """KL(mixture || q) is, but for a constant, the mixture of KL(p || q) and -log q(label)."""
    rng = np.random.default_rng(0)
    kind = OutputKind("categorical", axis, scale)
    logits = rng.normal(size=(2, 3, 3))
    p = np.exp(logits) / np.exp(logits).sum(axis, keepdims=True)
    labels = np.array([[0, 2, -1], [1, 0, 2]])
    value = {"logit": logits, "log-probability": np.log(p), "probability": p}[scale]
    mixed = mixed_with_labels(value, labels, kind, 0.3)
    if scale != "probability":
        mixed = np.exp(mixed)
        np.testing.assert_allclose(mixed.sum(axis), 1)
    truth = one_hot(labels, axis, 3)
    known = truth.sum(axis, keepdims=True)
    assert not known.all()  # what has no label is left to the teacher
    share = 0.3 * known
    np.testing.assert_allclose(mixed, (1 - share) * p + share * truth, atol=1e-12)


def test_values_are_mixed_as_they_are():
    mixed = mixed_with_labels(np.zeros(2), np.array([1.0, -1.0]), OutputKind("gaussian"), 0.25)
    assert np.array_equal(mixed, [0.25, -0.25])
