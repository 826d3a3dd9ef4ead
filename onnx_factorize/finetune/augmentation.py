"""The user's own augmentation of training samples: `--augment module:callable`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ..calibration import Batch
from ..errors import InputError
from ..foreign import user_code
from ..passes import DRAWS
from ..user_code import imported

__all__ = ["Augmentation"]


class Augmentation:
    """Changes the inputs of a batch at random, by a callable of the user's.

    The dense model answers what the samples have become, so no label needs to be known.
    """

    def __init__(self, name: str) -> None:
        """Finds the callable `module:callable`.

        It is given the feeds of a batch (input name to array) and a numpy generator, and returns
        feeds of the same names, types and number of samples.

        Raises:
            InputError: There is none.
        """
        self._name = name
        self._change: Callable[..., Mapping[str, npt.NDArray[Any]]] = imported(name, "--augment")

    def __call__(self, batch: Batch, rng: np.random.Generator) -> Batch:
        """The batch with other inputs.

        Args:
            batch: Samples to train on; they are not changed.
            rng: The source of all randomness, so that training repeats.

        Raises:
            InputError: The callable raises, or returns what the model does not take.
        """
        feeds = {name: array for name, array in batch.feeds.items() if name != DRAWS}
        given = {name: array.copy() for name, array in feeds.items()}
        with user_code(f"--augment {self._name}"):
            found = {name: np.asarray(array) for name, array in self._change(given, rng).items()}
        for name, array in feeds.items():
            new = found.get(name)
            if new is None or new.dtype != array.dtype or new.shape[:1] != array.shape[:1]:
                had = f"{array.dtype} of {list(array.shape)}"
                has = "is missing" if new is None else f"is {new.dtype} of {list(new.shape)}"
                raise InputError(
                    f"--augment {self._name} must keep inputs, types and the number of samples: "
                    f"'{name}' was {had}, and {has}."
                )
        return dataclasses.replace(batch, feeds=batch.feeds | {name: found[name] for name in feeds})
