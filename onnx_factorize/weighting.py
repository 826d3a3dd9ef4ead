"""Weightings: which metric decides how much a change of a weight matters."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from .errors import InputError
from .moments import Moments
from .passes import Factors, Target
from .spectrum import Spectrum, decompose

__all__ = ["WEIGHTINGS", "Weighting", "get_weighting"]

Array = npt.NDArray[np.float64]

_NOT_YET = ("fisher", "diagonal")


@dataclasses.dataclass(frozen=True)
class Weighting:
    """One way to weigh the directions of a weight.

    Attributes:
        name: As `--weighting` names it.
        uses_inputs: Whether it needs the moments of what targets read.
        literature: What it is known as.
    """

    name: str
    uses_inputs: bool
    literature: str

    def spectrum(self, target: Target, moments: Moments | None) -> Spectrum:
        """Decomposes a target's weight in this metric.

        Args:
            target: The target.
            moments: Of the target's input, if `uses_inputs`.
        """
        if not self.uses_inputs:
            return decompose(target.matrices())
        assert moments is not None
        # With a bias to absorb the mean of the error only deviations from the mean cost.
        A = moments.covariance if target.centred else moments.second_moment
        return decompose(target.matrices(), A, damping=_damping(target.rows, moments.count))

    def factors(
        self, target: Target, spectrum: Spectrum, moments: Moments | None, rank: int
    ) -> Factors:
        """The factors of one rank, with the bias correction that keeps the output's mean."""
        first, second = spectrum.truncated(rank)
        shift = None
        if moments is not None and moments.count and target.centred:
            error = target.matrices() - first @ second
            shift = np.einsum("gk,gkn->gn", moments.mean, error).reshape(-1)
        return Factors(first, second, shift)


WEIGHTINGS = {
    weighting.name: weighting
    for weighting in (
        Weighting("activation", True, "SVD-LLM, DRONE, ASVD with full whitening"),
        Weighting("none", False, "truncated SVD"),
    )
}


def get_weighting(name: str) -> Weighting:
    """The weighting of a name.

    Raises:
        InputError: There is none.
    """
    if name in _NOT_YET:
        raise InputError(
            f"The weighting '{name}' is not available in this version; use one of "
            f"{', '.join(WEIGHTINGS)}."
        )
    if name not in WEIGHTINGS:
        raise InputError(f"There is no weighting '{name}'; use one of {', '.join(WEIGHTINGS)}.")
    return WEIGHTINGS[name]


def _damping(rows: int, count: int) -> float:
    """Share of the mean diagonal to add to a moment of `rows` x `rows` made of `count` rows.

    With ten rows a dimension the moment is good and damping only guards the numerics; with fewer,
    directions that were not seen must not count as free.
    """
    return float(np.clip(0.03 * rows / max(count, 1), 1e-4, 0.03))
