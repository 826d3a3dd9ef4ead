"""Elements that go together, and those that lie alike."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from onnx_factorize.passes.narrowing.components import components, signatures

PAIRS = st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19)), max_size=30)


@given(PAIRS)
def test_components_are_those_of_the_graph(pairs):
    one, other = (np.array([pair[i] for pair in pairs], np.int64) for i in range(2))
    labels = components(20, one, other)
    expected = list(range(20))
    for _ in range(20):
        for a, b in pairs:
            expected[a] = expected[b] = min(expected[a], expected[b])
    assert labels.tolist() == expected


@given(PAIRS)
def test_components_share_a_number_that_have_as_many_elements_in_every_axis(pairs):
    one, other = (np.array([pair[i] for pair in pairs], np.int64) for i in range(2))
    labels, starts = components(20, one, other), [0, 4, 9, 20]
    numbers = signatures(labels, starts)
    counts = {
        label: tuple((labels[a:b] == label).sum() for a, b in itertools.pairwise(starts))
        for label in labels.tolist()
    }
    for i in range(20):
        for j in range(20):
            alike = counts[labels[i]] == counts[labels[j]]
            assert (numbers[i] == numbers[j]) == alike
