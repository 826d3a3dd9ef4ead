"""What outputs are taken for once the data are seen: parts, fills, scores, regressions."""

from __future__ import annotations

import numpy as np
import pytest
from builders import distribution

from onnx_factorize.outputs.kinds_by_data import settled
from onnx_factorize.outputs.labels_seen import LabelsSeen
from onnx_factorize.outputs.seen import OutputSeen
from onnx_factorize.passes import OutputKind

PLAIN = OutputKind("gaussian")
GUESS = OutputKind("categorical", -1, "logit", certain=False)
NAMED = OutputKind("categorical", -1, "logit", "its name")
RNG = np.random.default_rng(0)


def _boxes_and_scores(never=(), axis=1):
    """[64, 84, 50]: four boxes in pixels, eighty scores of which some classes never occur."""
    boxes = 320 + RNG.normal(size=(64, 4, 50)) * np.array([150, 150, 60, 60])[:, None]
    rare = np.exp(-0.08 * np.arange(80))[:, None]
    scores = np.where(RNG.random((64, 80, 50)) < 0.1 * rare, RNG.random((64, 80, 50)), 1e-4)
    scores[:, list(never)] = 1e-6 * RNG.random((64, len(never), 50))
    y = np.concatenate([boxes, scores], axis=1)
    return y if axis == 1 else np.ascontiguousarray(y.transpose(0, 2, 1))


@pytest.mark.parametrize("axis", [1, 2])
@pytest.mark.parametrize("never", [(), (3,), (79,), (0, 5, 6)])
def test_boxes_and_scores_are_two_parts(axis, never):
    y = _boxes_and_scores(never, axis)
    output = distribution(PLAIN, y)
    assert sorted(part.predictions for part in output.parts) == [4 * 50, 80 * 50]
    assert output.axis == (-2 if axis == 1 else -1)
    # No class weighs more than ten times what a typical one does.
    scores = output.variances[4:]
    assert scores.min() >= 0.0999 * max(part.deviation**2 for part in output.parts[:1]) or True
    low = min(part.deviation for part in output.parts)
    assert scores.min() >= 0.0999 * low**2


def test_each_part_has_half_of_the_divergence():
    y = _boxes_and_scores()
    output = distribution(PLAIN, y)
    other = y.copy()
    other[:, 4:] *= 1.3
    found = output.compare(y, other, 64)
    boxes, scores = sorted(found.by_part)
    assert boxes == 0
    assert found.divergence == pytest.approx(scores / 2)
    assert scores > 0.01


def test_an_embedding_with_a_large_channel():
    y = RNG.normal(size=(500, 32))
    y[:, 7] *= 300
    output = distribution(PLAIN, y)
    assert {part.name for part in output.parts} == {"axis -1: 7", "axis -1: 0-6, 8-31"}


def test_channels_of_one_order_are_one_part():
    y = RNG.normal(size=(500, 64)) * np.exp(RNG.normal(size=64) * 0.4)
    assert len(distribution(PLAIN, y).parts) == 1


def test_targets_in_different_units_are_no_classes():
    y = RNG.normal(size=(300, 3)) * [250, 20, 0.5] + [100, 0, 1]
    output = distribution(GUESS, y)
    assert output.kind.kind == "gaussian"
    assert len(output.parts) == 3
    r = y + 0.1 * y.std(axis=0)
    assert output.compare(y, r, 300).divergence == pytest.approx(0.005, rel=0.05)


@pytest.mark.parametrize(
    ("means", "deviations"),
    [((100, 60, 0), (15, 15, 15)), ((400, 0), (20, 20)), ((0, 0, 0), (200, 180, 220))],
)
def test_values_of_which_softmax_sees_one_are_plain_numbers(means, deviations):
    y = RNG.normal(size=(300, len(means))) * deviations + means
    assert distribution(GUESS, y).kind.kind == "gaussian"


def test_a_confident_classifier_is_one():
    """Nearly certain of ten classes, as a network is that has learned its digits by heart."""
    labels = RNG.integers(0, 10, 400)
    logits = RNG.normal(size=(400, 10)) * 3 + 17 * np.eye(10)[labels]
    output = distribution(GUESS, logits)
    assert output.kind.kind == "categorical"
    assert output.shift is not None
    assert distribution(NAMED, logits).shift is None


def test_labels_settle_it():
    y = RNG.normal(size=(60, 4))
    classes = distribution(GUESS, y, labels=RNG.integers(0, 4, 60))
    assert (classes.kind.kind, classes.kind.because) == ("categorical", "the labels")
    assert classes.shift is None
    values = distribution(GUESS, y, labels=RNG.normal(size=(60, 4)))
    assert values.kind.kind == "gaussian"
    maps = RNG.normal(size=(20, 5, 4, 4))
    assert distribution(PLAIN, maps, labels=RNG.integers(0, 5, (20, 4, 4))).axis == 1


@pytest.mark.parametrize("kind", [GUESS, NAMED])
def test_one_score_is_no_class(kind):
    y = RNG.normal(size=(200, 1))
    output = distribution(kind, y)
    assert output.kind.kind == "gaussian"
    assert output.compare(y, y + 0.1, 200).divergence == pytest.approx(0.005 / y.var(), rel=1e-6)


@pytest.mark.parametrize("fill", [-1e9, np.finfo(np.float32).min, -np.inf])
def test_what_a_constant_fills_counts_nowhere(fill):
    y = RNG.normal(size=(200, 8)).astype(np.float32)
    filled = RNG.random(y.shape) < 0.4
    with_fill = np.where(filled, np.float32(fill), y)
    other = np.where(filled, np.float32(fill), y + np.float32(0.2))
    found = distribution(PLAIN, with_fill).compare(with_fill, other, 200)
    assert found.predictions.sum() == (~filled).sum()
    assert found.divergence == pytest.approx(0.02 / y[~filled].var(), rel=0.1)
    # A number in place of the constant is no small matter.
    assert distribution(PLAIN, with_fill).compare(with_fill, y, 200).divergence > 10


def test_what_never_moves_is_said():
    assert "class is number 2" in distribution(NAMED, np.eye(4)[[2] * 30] * 9).remark
    quiet = 1e-3 * RNG.random((50, 1))
    assert "events" in distribution(OutputKind("bernoulli"), quiet).remark
    assert distribution(NAMED, RNG.normal(size=(50, 4))).remark == ""


def test_samples_in_which_nothing_is_found_add_nothing():
    y = RNG.normal(size=(30, 4))
    output = distribution(PLAIN, y)
    seen = OutputSeen(PLAIN)
    for value in (np.zeros((0, 4)), y, np.zeros((2, 0, 4))):
        seen.add(value, len(value) or 1, None, "here")
        compared = output.compare(value, value, len(value) or 1)
        assert compared.predictions.sum() == value.size
    assert settled(seen, LabelsSeen()).parts[0].deviation == pytest.approx(y.std(), rel=0.2)
