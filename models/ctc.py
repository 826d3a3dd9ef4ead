"""Decoding of CTC outputs, and the accuracy of read text."""

from collections.abc import Sequence

import numpy as np

from models.session import Array

BLANK = 0


def greedy(probabilities: Array, charset: Sequence[str]) -> list[str]:
    """Decode by the best symbol of each step, without repeats and blanks.

    Args:
        probabilities: [b, t, symbols], or logits.
        charset: the text of each symbol; that of `BLANK` is not used.

    Returns:
        A text for each sample, without spaces at its ends: padding is often read as space.
    """
    texts = []
    for best in probabilities.argmax(axis=2):
        kept = (best != BLANK) & np.concatenate([[True], best[1:] != best[:-1]])
        texts.append("".join(charset[i] for i in best[kept]).strip())
    return texts


def right_words(truth: str, read: str) -> int:
    """Return how many words of `truth` were read, in order: the longest common subsequence."""
    lengths = [0] * (len(read.split()) + 1)
    for word in truth.split():
        diagonal = 0
        for i, other in enumerate(read.split(), 1):
            above = lengths[i]
            lengths[i] = diagonal + 1 if word == other else max(above, lengths[i - 1])
            diagonal = above
    return lengths[-1]
