"""Rounding of a weight to 4 bits so that the errors of its rows make up for each other.

With the second moment A of what a weight W multiplies, the output's squared error is tr(Eᵀ A E), E
the error of the weight. So a number is best rounded to what is nearest to it *given the errors of
rows before it*: rows that vary together can take each other's errors back (Frantar et al., "GPTQ",
2023). It is done here as Babai's nearest plane, which is the same in other words (Chen et al., "The
geometry of LLM quantization", 2025): with A = R Rᵀ and R upper triangular, the error of a column is
Σ_i R_ii² (t_i - q_i)² with t_i = w_i + Σ_{j<i} R_ji e_j / R_ii, and each q_i is free to be what is
nearest to t_i. No inverse of A is needed.

This is arithmetic alone: `four_bits` knows models.
"""

from __future__ import annotations

import numpy as np

from ..arrays import Array

__all__ = ["nearest", "quadratic_loss", "round_jointly"]

# The multiples of a step that 4 bits can say.
_LEAST, _MOST = -8, 7

# What is added to the diagonal of A, as a share of its mean: A is of few samples.
_DAMPING = 0.03

# Rows that are rounded one by one between products of matrices.
_ROWS = 64


def nearest(values: Array, steps: Array) -> Array:
    """The multiples of steps that are nearest to some values; 0 where a step is 0."""
    safe = np.where(steps == 0, 1.0, steps)
    found: Array = np.where(steps == 0, 0.0, np.rint(values / safe)).clip(_LEAST, _MOST)
    return found


def quadratic_loss(errors: Array, moment: Array) -> Array:
    """The squared error of what each column of a weight computes, eᵀ A e, shape (N,).

    Args:
        errors: Those of the weight, shape (K, N).
        moment: A, shape (K, K).
    """
    found: Array = np.einsum("kn,kn->n", errors, moment @ errors)
    return found


def round_jointly(weight: Array, moment: Array, steps: Array) -> Array:
    """Rounds a weight so that it loses no more than with all numbers rounded to the nearest.

    Args:
        weight: Shape (K, N).
        moment: The second moment of what it multiplies, up to a factor, shape (K, K).
        steps: What each number is to be a multiple of, shape (K, N).

    Returns:
        The multiples, shape (K, N).
    """
    alone, together = nearest(weight, steps), _nearest_plane(weight, moment, steps)
    losses = [quadratic_loss(weight - codes * steps, moment) for codes in (alone, together)]
    return np.where(losses[1] < losses[0], together, alone)


def _nearest_plane(weight: Array, moment: Array, steps: Array) -> Array:
    """Codes of which each makes up for those before it, shape (K, N).

    Rows that vary most come first, for they have most to lose; those that vary less take up what is
    left. Rows that are always 0 neither take nor give, and are rounded to what is nearest.
    """
    order = np.argsort(-moment.diagonal(), kind="stable")
    upper = _upper_factor(moment[np.ix_(order, order)])
    weight, steps = weight[order], steps[order]
    # Row i of this, times the errors before it, is what row i makes up for.
    shares = (upper / upper.diagonal()).T
    codes, errors = np.zeros_like(weight), np.zeros_like(weight)
    for start in range(0, len(weight), _ROWS):
        stop = min(start + _ROWS, len(weight))
        wanted = weight[start:stop] + shares[start:stop, :start] @ errors[:start]
        for row in range(start, stop):
            target = wanted[row - start] + shares[row, start:row] @ errors[start:row]
            codes[row] = nearest(target, steps[row])
            errors[row] = weight[row] - codes[row] * steps[row]
    found = np.empty_like(codes)
    found[order] = codes
    return found


def _upper_factor(moment: Array) -> Array:
    """R of the damped moment, A = R Rᵀ, upper triangular; the identity where there is nothing."""
    damping = _DAMPING * float(moment.diagonal().mean())
    if not damping > 0:
        return np.eye(len(moment))
    damped = moment + damping * np.eye(len(moment))
    lower = np.linalg.cholesky(damped[::-1, ::-1])
    return np.asarray(lower[::-1, ::-1], np.float64)
