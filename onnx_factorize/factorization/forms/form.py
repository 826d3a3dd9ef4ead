"""The seam of forms: the questions that a form in which an operator may be cut answers."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ...arrays import Array
from ...passes import Chain, Factors, Rewrite, Target

__all__ = ["Directions", "Form", "Ranks", "Written"]

# A rank for each unfolding that a form cuts, or arrays of them of one shape.
Ranks = Sequence[npt.ArrayLike]


class Directions(Protocol):
    """The spectrum of an unfolding, as a form asks it (see `Spectrum`)."""

    @property
    def side(self) -> str:
        """The side on which the unfolding is observed."""

    @property
    def basis(self) -> Array:
        """From the directions, shape (groups, m, m)."""

    @property
    def dual(self) -> Array:
        """To the directions: the inverse."""


class Form(abc.ABC):
    """A small chain of linear maps, Split, Concat and Add that stands for one operator.

    It cuts one unfolding of the weight, or several at once. Methods get those as `unfoldings`, in
    the order in which `cuts` names them, and a rank for each.

    A form that is no plain pair is `Written`.

    Attributes:
        name: What `--form` calls it.
        nodes: Operators that it has more than the dense one.
        identity: Whether its factors are written as an identity block.
        block_type: The type that such a block must be exact in, if that is not the weight's.
        replaces: The names of forms that cut the same unfoldings, in whose place it is taken unless
            `--form` names them.
    """

    name: str
    nodes: int = 1
    identity: bool = False
    block_type: str | None = None
    replaces: tuple[str, ...] = ()

    def written(self, target: Target) -> Form:
        """The form as it is written for a target, cut in the first of its unfoldings."""
        return self

    @property
    def chain(self) -> Chain | None:
        """Itself, where it writes a chain of its own and is not left to the operator."""
        return self if isinstance(self, Written) else None

    @abc.abstractmethod
    def cuts(self, target: Target) -> tuple[str, ...] | None:
        """The names of the unfoldings that it cuts of an operator; None where it cannot be."""

    @abc.abstractmethod
    def title(self, target: Target) -> str:
        """The name in reports of what becomes of an operator."""

    @abc.abstractmethod
    def params(self, unfoldings: Sequence[Target], ranks: Ranks) -> npt.NDArray[np.int64]:
        """The number of weights."""

    @abc.abstractmethod
    def macs(self, unfoldings: Sequence[Target], ranks: Ranks, macs: int) -> Array:
        """Multiplications, of so many while it is dense."""

    def factors(self, own: Factors, spectra: Sequence[Directions], ranks: Sequence[int]) -> Factors:
        """The factors.

        Args:
            own: The two factors of the first unfolding at its rank.
            spectra: The spectra of the unfoldings.
            ranks: Their ranks.
        """
        return dataclasses.replace(own, chain=self.chain)

    def latency(self, unfoldings: Sequence[Target], curves: Sequence[Any], ranks: Ranks) -> Array:
        """An estimate of the latency from the curves of several unfoldings."""
        raise NotImplementedError(f"The form '{self.name}' cuts one unfolding, and is timed.")

    def note(self, unfoldings: Sequence[Target], ranks: Sequence[int]) -> str | None:
        """A note in reports besides the rank of the first unfolding."""
        return None


class Written(Form):
    """A form that says itself what chain its factors become."""

    @abc.abstractmethod
    def write(self, operator: Rewrite, target: Target, factors: Factors) -> None:
        """Writes the chain.

        Args:
            operator: Emits linear maps of the target's kind (`channels`, and `finish`, which makes
                the node the last one), and other operators (`site`).
            target: The target, in the first unfolding.
            factors: What `factors` gave.
        """
