"""Options on what inputs and outputs mean, where that is found wrong."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from ..errors import InputError
from ..passes import Kind
from .fields import option
from .words import MaskMeaning, StateOption

__all__ = ["MeaningOptions"]


@dataclasses.dataclass(frozen=True)
class MeaningOptions:
    """The meaning of inputs and outputs, where what is found by itself is wrong.

    Attributes:
        outputs: Output name to what it stands for, where recognition is wrong.
        batch_axis: Input name to 0, if its first axis runs over samples, or None, where what is
            found by running the model is wrong.
        mask: Input name to what numbers other than zero are in it: `keep` for data, `drop` for
            padding, `none` where it is no mask of positions.
        state: Input name to the output that is its next value, where the model is a stream;
            `none` where it is none.
    """

    outputs: Mapping[str, Kind] = option(
        {},
        "categorical, bernoulli, gaussian or ignore, where recognition is wrong.",
        metavar="NAME=KIND",
        repeated=True,
    )
    batch_axis: Mapping[str, int | None] = option(
        {},
        "0 where the input's first axis runs over samples, none where it does not, if what is "
        "found by running the model is wrong.",
        metavar="INPUT=AXIS",
        repeated=True,
    )
    mask: Mapping[str, MaskMeaning] = option(
        {},
        "keep where numbers other than zero are data, drop where they are padding, none where it "
        "is no mask, if what is found by running the model is wrong.",
        metavar="INPUT=MEANING",
        repeated=True,
    )
    state: StateOption = option(
        None,
        "The input IN takes what OUT gave a step before: verify along streams, too. Found by "
        "itself where the data are steps of one; none turns that off.",
        metavar="IN=OUT",
        repeated=True,
    )

    def _check_meanings(self) -> None:
        """Finds what is of another form."""
        if self.state not in (None, "none") and not isinstance(self.state, Mapping):
            raise InputError("state is a mapping such as {'h0': 'hn'}, or 'none'.")
