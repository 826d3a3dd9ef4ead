"""Types of arrays, by the names that the whole package calls them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["AnyArray", "Array", "Arrays", "NamedArrays"]

# Of whatever elements a model takes or gives.
AnyArray = npt.NDArray[Any]

# What the mathematics is done in.
Array = npt.NDArray[np.float64]

# Arrays by name, as a model is fed with and answers.
Arrays = dict[str, AnyArray]

# The same where they are only read.
NamedArrays = Mapping[str, AnyArray]
