"""Masks of a batch: positions where sequences were padded count nowhere."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from ..options import MaskMeaning
from .inputs import InputSpec, Signature

__all__ = ["Padding", "given_padding", "is_lengths"]


@dataclasses.dataclass(frozen=True)
class Padding:
    """The input that says what is padding, and what it means.

    Attributes:
        input: Its name; None where no input is known to say it, and then all positions count.
        means: `keep`: numbers other than zero are where data are; `drop`: where padding is;
            `lengths`: they are the lengths of the data, which padding follows.
        how: `found` by running the model, `given` by the user, by its `name`, or None.
        said: A sentence for people; None where there is nothing to say.
        length_of: For `lengths`, the input whose axis 1 they are lengths along.
    """

    input: str | None = None
    means: str | None = None
    how: str | None = None
    said: str | None = None
    length_of: str | None = None

    def mask(
        self, feeds: Mapping[str, npt.NDArray[Any]], samples: int
    ) -> npt.NDArray[np.bool_] | None:
        """The positions that hold data, shape (samples, length); None if all do.

        Args:
            feeds: Input name to array.
            samples: Number of samples; one that stands for many (an array with one row) is
                repeated.
        """
        array = None if self.input is None else feeds.get(self.input)
        if array is None:
            return None
        if self.means == "lengths":
            length = feeds[self.length_of or ""].shape[1]
            found = np.less(np.arange(length), array.reshape(-1, 1))
        else:
            data = np.not_equal(array, 0) if self.means == "keep" else np.equal(array, 0)
            # Where each position has a mask of its own, what any of them sees is data.
            found = data.reshape(len(data), -1, data.shape[-1]).any(axis=1)
        return np.repeat(found, samples, axis=0) if len(found) == 1 < samples else found

    def as_dict(self) -> dict[str, Any]:
        """The entry in the report."""
        found = dataclasses.asdict(self)
        del found["length_of"]
        return found


def is_lengths(spec: InputSpec) -> bool:
    """Tells whether an input has one whole number for each sample, as lengths are given."""
    dims = spec.dims
    return spec.dtype.kind in "iu" and (
        dims is not None and (len(dims) == 1 or (len(dims) == 2 and dims[1] == 1))
    )


def given_padding(signature: Signature, given: Mapping[str, Any]) -> Padding | None:
    """The padding that the user names; None where there is none.

    Args:
        signature: The model's inputs.
        given: Input name to a `MaskMeaning`.

    Raises:
        InputError: It names no input, means nothing, or cannot be a mask.
    """
    specs = {spec.name: spec for spec in signature.everything}
    found = None
    for name, means in given.items():
        if name not in specs:
            raise InputError(
                f"--mask names '{name}', but the model's inputs are {', '.join(specs)}."
            )
        if means not in get_args(MaskMeaning):
            raise InputError(f"--mask {name}={means}: use keep, drop or none.")
        if means == "none" or found is not None:
            continue
        spec = specs[name]
        if is_lengths(spec):
            long = [s.name for s in signature.inputs if s.name != name and len(s.dims or ()) > 1]
            if means == "drop" or not long:
                raise InputError(f"--mask {name}={means}: lengths of data can only be kept.")
            found = Padding(name, "lengths", "given", length_of=long[0])
        elif spec.dims is not None and len(spec.dims) < 2:
            raise InputError(
                f"--mask {name}={means}: '{name}' is {spec.describe()}, and a mask has a row for "
                "each sample."
            )
        else:
            found = Padding(name, means, "given")
    return found
