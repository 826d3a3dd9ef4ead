"""Which positions of a batch hold data: where sequences were padded, the rest counts nowhere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["padding_mask", "padding_mask_name"]

# A mask that is 1 where there is data. torch's key_padding_mask means the opposite.
_MASK_NAME = re.compile(r"(attention|input|padding|pad)_?mask|^mask$", re.IGNORECASE)


def padding_mask(feeds: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[np.bool_] | None:
    """Which positions of which samples hold data, shape (batch, length); None if all do."""
    name = padding_mask_name(feeds)
    return None if name is None else feeds[name].astype(bool)


def padding_mask_name(feeds: Mapping[str, npt.NDArray[Any]]) -> str | None:
    """The input that says which positions hold data, if there is one."""
    for name, array in feeds.items():
        if (
            _MASK_NAME.search(name)
            and "key_padding" not in name
            and array.ndim == 2
            and array.dtype.kind in "iub"
        ):
            return name
    return None
