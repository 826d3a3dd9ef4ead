"""What a model wants to be fed, and whether data fit it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from ..errors import InputError

__all__ = ["LABEL_KEYS", "InputSpec", "Signature"]

Arrays = dict[str, npt.NDArray[np.generic]]

LABEL_KEYS = ("label", "labels")

# An axis with such a name runs over time, not over samples, even where it comes first.
_NOT_A_BATCH = re.compile(r"seq|len|time|frame|step|token|height|width", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class InputSpec:
    """One input of the model.

    Attributes:
        name: Its name.
        dtype: The numpy type of its elements.
        dims: One entry an axis: a length, a symbol, or None where nothing is declared. None in
            place of the tuple means that not even the number of axes is declared.
    """

    name: str
    dtype: np.dtype[np.generic]
    dims: tuple[int | str | None, ...] | None

    def describe(self) -> str:
        """The input as a user would write it: `float32[batch, 3, 224, 224]`."""
        if self.dims is None:
            return f"{self.dtype}"
        return f"{self.dtype}[{', '.join('?' if d is None else str(d) for d in self.dims)}]"


@dataclasses.dataclass(frozen=True)
class Signature:
    """All inputs that a caller must feed.

    Attributes:
        inputs: The inputs, in the model's order.
        batched: Whether axis 0 of every input runs over independent samples, so that data may be
            split and joined along it. Where not (a scalar input, a recurrent state), each file or
            feed is taken whole and counts as one sample.
        batch: The length of that axis if the model fixes it, else None.
    """

    inputs: tuple[InputSpec, ...]
    batched: bool
    batch: int | None

    @classmethod
    def of(cls, model: ir.Model) -> Signature:
        """Reads the signature off a model; inputs with a default value are left out."""
        inputs = []
        for value in model.graph.inputs:
            if value.name in model.graph.initializers:
                continue
            if not isinstance(value.type, ir.TensorType) or value.dtype is None:
                raise InputError(
                    f"The model's input '{value.name}' is not a tensor, and only tensors can be "
                    "read from calibration data."
                )
            dims = None if value.shape is None else tuple(_dim(d) for d in value.shape)
            dtype: np.dtype[np.generic] = (
                np.dtype(np.str_)
                if value.dtype == ir.DataType.STRING
                else np.dtype(value.dtype.numpy())
            )
            assert value.name is not None
            inputs.append(InputSpec(value.name, dtype, dims))
        first = {spec.dims[0] if spec.dims else 0 for spec in inputs}
        (lead,) = first if len(first) == 1 else (0,)
        batched = (
            bool(inputs) and lead != 0 and not (isinstance(lead, str) and _NOT_A_BATCH.search(lead))
        )
        return cls(tuple(inputs), batched, lead if batched and isinstance(lead, int) else None)

    def conform(self, arrays: Mapping[str, npt.NDArray[np.generic]], origin: str) -> Arrays:
        """Checks arrays against the inputs and converts what is safe to convert.

        Floats convert to floats and integers to integers of another width; a single sample
        without its batch axis gets one. Labels pass through.

        Args:
            arrays: Input name (and perhaps a label key) to array.
            origin: Where they come from, for messages.

        Raises:
            InputError: An input is missing, or has a wrong type, shape, or NaN.
        """
        missing = [spec.name for spec in self.inputs if spec.name not in arrays]
        if missing:
            raise InputError(
                f"{origin} has no array for the model's input {_quoted(missing)}; it holds "
                f"{_quoted(arrays) or 'nothing'}. Name each array after the input that it feeds."
            )
        fitted = {
            spec.name: self._fit(spec, np.asarray(arrays[spec.name]), origin)
            for spec in self.inputs
        }
        if self.batched:
            lengths = {name: array.shape[0] for name, array in fitted.items()}
            if len(set(lengths.values())) > 1:
                each = ", ".join(f"'{name}' {length}" for name, length in lengths.items())
                raise InputError(f"{origin} holds different numbers of samples an input: {each}.")
        for key in LABEL_KEYS:
            if key in arrays and key not in fitted:
                fitted[LABEL_KEYS[0]] = np.asarray(arrays[key])
        return fitted

    def _fit(
        self, spec: InputSpec, array: npt.NDArray[np.generic], origin: str
    ) -> npt.NDArray[np.generic]:
        where = f"{origin}: input '{spec.name}'"
        wanted = spec.dtype
        if array.dtype != wanted:
            if array.dtype == object or not _convertible(array.dtype, wanted):
                raise InputError(
                    f"{where} is {array.dtype}, but the model wants {spec.describe()}; convert the "
                    "data as the model was trained (an image, for example, must be scaled)."
                )
            array = _converted(array, wanted, where)
        if spec.dims is not None:
            if array.ndim == len(spec.dims) - 1 and self.batched and self.batch in (1, None):
                array = array[None]
            if array.ndim != len(spec.dims) or not self._lengths_fit(spec.dims, array.shape):
                raise InputError(
                    f"{where} has shape {list(array.shape)}, but the model wants {spec.describe()}."
                )
        if array.dtype.kind == "f" and np.isnan(array).any():
            raise InputError(f"{where} contains NaN.")
        if array.size == 0:
            raise InputError(f"{where} is empty, with shape {list(array.shape)}.")
        return array

    def _lengths_fit(self, dims: tuple[int | str | None, ...], shape: tuple[int, ...]) -> bool:
        for axis, (dim, length) in enumerate(zip(dims, shape, strict=True)):
            if not isinstance(dim, int):
                continue
            # Along the batch, data are cut and joined to what the model takes at once.
            if length != dim and not (axis == 0 and self.batched):
                return False
        return True


def _converted(
    array: npt.NDArray[np.generic], wanted: np.dtype[np.generic], where: str
) -> npt.NDArray[np.generic]:
    """The array in another width; refused where its values do not fit."""
    with np.errstate(over="ignore", invalid="ignore"):
        found = array.astype(wanted)
    if wanted.kind in "iu":
        fits = np.array_equal(found, array)
    else:
        fits = np.array_equal(np.isinf(found), np.isinf(array))
    if not fits:
        raise InputError(f"{where} has values that do not fit into {wanted}.")
    return found


def _dim(dim: int | ir.SymbolicDim) -> int | str | None:
    """A dimension as declared; lengths below one are an exporter's way to say "any"."""
    if isinstance(dim, int):
        return dim if dim > 0 else None
    return str(dim.value) if dim.value not in (None, "", "?") else None


def _convertible(have: np.dtype[np.generic], want: np.dtype[np.generic]) -> bool:
    if want.kind == "f" or want.name == "bfloat16":
        return have.kind == "f"
    if want.kind in "iu":
        return have.kind in "iu"
    return have.kind == want.kind


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
