import numpy as np
import pytest

from models import metrics
from models.ctc import greedy, right_words


def one_hot(*symbols, count=4):
    return np.eye(count)[list(symbols)]


def test_greedy_drops_blanks_and_repeats():
    charset = ["", "a", "b", " "]
    steps = one_hot(0, 1, 1, 0, 1, 2, 2, 3)
    assert greedy(steps[None], charset) == ["aab"]


def test_greedy_keeps_inner_spaces():
    assert greedy(one_hot(3, 1, 3, 2, 3)[None], ["", "a", "b", " "]) == ["a b"]


def test_greedy_of_blanks_is_empty():
    assert greedy(one_hot(0, 0)[None], ["", "a", "b", " "]) == [""]


@pytest.mark.parametrize(
    ("truth", "read", "right"),
    [
        ("a b c", "a b c", 3),
        ("a b c", "a c", 2),
        ("a b", "b a", 1),
        ("a b", "", 0),
        ("a", "a a", 1),
        ("a a", "a", 1),
        ("a b c d", "x b y d", 2),
    ],
)
def test_right_words(truth, read, right):
    assert right_words(truth, read) == right


def test_reciprocal_rank():
    scores = np.array([[3.0, 1.0, 2.0], [5.0, 4.0, 1.0], [2.0, 3.0, 1.0]])
    assert metrics.reciprocal_rank(scores, cutoff=10) == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)
    assert metrics.reciprocal_rank(scores, cutoff=2) == pytest.approx((1 + 1 / 2) / 3)


def test_reciprocal_rank_does_not_reward_ties():
    assert metrics.reciprocal_rank(np.zeros((4, 4)), cutoff=10) == pytest.approx(1 / 4)


def test_area_under_roc():
    truth = np.array([False, False, True, True])
    assert metrics.area_under_roc(np.array([0.1, 0.2, 0.3, 0.4]), truth) == 1
    assert metrics.area_under_roc(np.array([0.4, 0.3, 0.2, 0.1]), truth) == 0
    assert metrics.area_under_roc(np.zeros(4), truth) == 0.5
    assert metrics.area_under_roc(np.array([0.1, 0.3, 0.2, 0.4]), truth) == 0.75
    assert np.isnan(metrics.area_under_roc(np.zeros(4), np.ones(4, bool)))


def test_divergence():
    p, q = np.array([[0.5, 0.5]]), np.array([[0.25, 0.75]])
    expected = 0.5 * np.log(2) + 0.5 * np.log(2 / 3)
    assert metrics.divergence(p, q) == pytest.approx(expected)
    assert metrics.divergence(p, p) == 0
    assert metrics.bernoulli_divergence(p[:, :1], q[:, :1]) == pytest.approx(expected)


def test_softmax_of_large_logits():
    assert metrics.softmax(np.array([1000.0, 1000.0, -1000.0])) == pytest.approx([0.5, 0.5, 0])


def test_overlap():
    overlap = metrics.Overlap()
    overlap.add(np.array([True, True, False, False]), np.array([True, False, True, False]))
    assert overlap.f1 == pytest.approx(1 / 2)
    assert overlap.iou == pytest.approx(1 / 3)
    assert metrics.Overlap().f1 == 1


def test_mean():
    mean = metrics.Mean()
    assert np.isnan(mean.value)
    mean.add(1, 3)
    mean.add(0)
    assert mean.value == 0.75
