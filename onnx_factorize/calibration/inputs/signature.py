"""The inputs that a model wants to be fed, and whether data fit them."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from ...arrays import Arrays
from ...errors import InputError
from ...passes import FindCaches, random_nodes, with_lengths
from .arrays import as_array, converted
from .fills import Fills
from .labels import LABEL_KEYS, read_labels
from .spec import InputSpec, spec_of

__all__ = ["InputSpec", "Signature"]


# An axis with such a name runs over time, not over samples, even where it comes first.
_NOT_A_BATCH = re.compile(r"seq|len|time|frame|step|token|height|width", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Signature:
    """All inputs that a caller can feed.

    Attributes:
        inputs: The inputs that must be fed, in the model's order.
        batched: Whether axis 0 of every input (but for those that are shared) runs over independent
            samples, so that data may be split and joined along it. Where not (a scalar input, a
            recurrent state), each file or feed is taken whole and counts as one sample.
        batch: The length of that axis if the model fixes it, else None.
        extra: Inputs that may be fed: those of an optional type, and those with a default value.
        draws: Whether the model draws random numbers: then samples are fed with their keys.
        fills: Inputs that are filled in where the data lack them; all that could be, as long as
            it is not known what the data hold (see `lacking`).
    """

    inputs: tuple[InputSpec, ...]
    batched: bool
    batch: int | None
    extra: tuple[InputSpec, ...] = ()
    draws: bool = False
    fills: Fills = dataclasses.field(default_factory=Fills)

    @classmethod
    def of(cls, model: ir.Model) -> Signature:
        """Reads the signature off a model."""
        inputs, extra = [], []
        for value in model.graph.inputs:
            default = value.name in model.graph.initializers
            if default and model.ir_version < _DEFAULTS_SINCE:
                continue
            spec = spec_of(value)
            if default:
                extra.append(dataclasses.replace(spec, shared=True))
            elif isinstance(value.type, ir.OptionalType):
                extra.append(spec)
            else:
                inputs.append(spec)
        finder = FindCaches()
        finder(model)
        fills = Fills.of(inputs, with_lengths(model, finder.caches))
        draws = bool(random_nodes(model))
        found = _batched(cls(tuple(inputs), False, None, tuple(extra), draws))
        return dataclasses.replace(found, fills=fills)

    def lacking(self, given: Collection[str]) -> Signature:
        """The signature for data that hold some inputs: what is filled in follows their samples."""
        fills = self.fills.without(given)
        inputs = tuple(
            dataclasses.replace(spec, shared=spec.name in fills.shared) for spec in self.inputs
        )
        return _batched(dataclasses.replace(self, inputs=inputs, fills=fills))

    @property
    def everything(self) -> tuple[InputSpec, ...]:
        """The inputs that must be fed, and those that may be."""
        return (*self.inputs, *self.extra)

    @property
    def shared(self) -> frozenset[str]:
        """Names of the inputs that have no row for each sample."""
        return frozenset(spec.name for spec in self.everything if spec.shared)

    def with_rows(self, names: Iterable[str]) -> Signature:
        """The signature with rows for samples in the inputs of these names, and in no others."""
        own = set(names)
        required = [spec for spec in self.inputs if spec.name in own]
        lengths = {spec.dims[0] for spec in required if spec.dims and isinstance(spec.dims[0], int)}
        inputs, extra = (
            tuple(dataclasses.replace(spec, shared=spec.name not in own) for spec in specs)
            for specs in (self.inputs, self.extra)
        )
        batch = lengths.pop() if len(lengths) == 1 else None
        return dataclasses.replace(
            self, inputs=inputs, extra=extra, batched=bool(required), batch=batch
        )

    def whole(self) -> Signature:
        """The signature by which each file or feed is one sample."""
        return dataclasses.replace(self, batched=False, batch=None)

    def rows(self, shapes: Mapping[str, tuple[int, ...]]) -> int | None:
        """The samples that arrays of some shapes hold; None where they are one whole feed.

        Args:
            shapes: Input name to shape.
        """
        if not self.batched:
            return None
        for spec in self.inputs:
            shape = shapes.get(spec.name)
            if spec.shared or shape is None:
                continue
            if spec.dims is None or len(shape) == len(spec.dims) or spec.is_column(shape):
                return shape[0] if shape else None
        return None

    def conform(self, arrays: Mapping[str, Any], origin: str) -> Arrays:
        """Checks arrays against the inputs and converts what is safe to convert.

        Floats convert to floats, integers and booleans to each other where they hold the values; a
        single sample without its batch axis gets one. Labels go along under one key.

        Args:
            arrays: Input name (and perhaps a label key) to an array or what can be made one.
            origin: Where they come from, for messages.

        Raises:
            InputError: An input is missing, or has a wrong type or shape.
        """
        filled = self.fills.names
        missing = [s.name for s in self.inputs if s.name not in arrays and s.name not in filled]
        if missing:
            raise InputError(
                f"{origin} has no array for the model's input {_quoted(missing)}; it holds "
                f"{_quoted(arrays) or 'nothing'}. Name each array after the input that it feeds."
            )
        given = [s for s in self.inputs if s.name in arrays]
        given += [s for s in self.extra if arrays.get(s.name) is not None]
        found = {
            spec.name: as_array(arrays[spec.name], f"{origin}: input '{spec.name}'")
            for spec in given
        }
        fitted = {spec.name: self._fit(spec, found[spec.name], origin) for spec in given}
        made = self.fills.made(fitted)
        given += [spec for spec in self.inputs if spec.name in made]
        fitted |= {s.name: self._fit(s, made[s.name], origin) for s in given if s.name in made}
        if self.batched:
            own = [spec.name for spec in given if not spec.shared]
            lengths = {name: len(fitted[name]) for name in own if fitted[name].ndim}
            if len(set(lengths.values())) > 1:
                each = ", ".join(f"'{name}' {length}" for name, length in lengths.items())
                raise InputError(f"{origin} holds different numbers of samples an input: {each}.")
        if fitted and not any(array.size for array in fitted.values()):
            raise InputError(f"{origin}: input {_quoted(fitted)} is empty.")
        labels = read_labels(arrays, set(fitted), origin)
        if labels is not None:
            shapes = {name: array.shape for name, array in found.items()}
            alone = self.batched and self.rows(shapes) is None
            fitted[LABEL_KEYS[0]] = labels[None] if alone else np.atleast_1d(labels)
        return fitted

    def _fit(self, spec: InputSpec, array: npt.NDArray[Any], origin: str) -> npt.NDArray[Any]:
        where = f"{origin}: input '{spec.name}'"
        array = converted(array, spec.dtype, where, spec.describe())
        by_row = self.batched and not spec.shared
        if spec.dims is not None:
            if by_row and self.batch in (1, None):
                array = _with_batch_axis(spec, array)
            if array.ndim != len(spec.dims) or not _fits(spec.dims, array.shape, by_row=by_row):
                raise InputError(
                    f"{where} has shape {list(array.shape)}, but the model wants {spec.describe()}."
                )
        if by_row and array.shape[:1] == (0,):
            raise InputError(f"{where} is empty, with shape {list(array.shape)}.")
        return array


# Before this version of the format, all weights had to be inputs too.
_DEFAULTS_SINCE = 4


def _batched(signature: Signature) -> Signature:
    """A signature with the samples that its inputs declare; what is filled in follows the rest."""
    filled, extra = signature.fills.names, signature.extra
    first = {s.dims[0] if s.dims else 0 for s in signature.inputs if s.name not in filled}
    (lead,) = first if len(first) == 1 else (0,)
    batched = lead != 0 and not (isinstance(lead, str) and _NOT_A_BATCH.search(lead))
    extra = tuple(
        spec if spec.dims and spec.dims[0] == lead else dataclasses.replace(spec, shared=True)
        for spec in extra
    )
    batch = lead if batched and isinstance(lead, int) else None
    return dataclasses.replace(signature, batched=batched, batch=batch, extra=extra)


def _with_batch_axis(spec: InputSpec, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """One sample, or a column of a table, with the axes that the input declares."""
    assert spec.dims is not None
    if spec.is_column(array.shape):
        return array[:, None]
    missing = len(spec.dims) - array.ndim
    if missing == 1 or (missing > 1 and array.ndim == 0 and set(spec.dims[1:]) == {1}):
        return array.reshape((1,) * missing + array.shape)
    return array


def _fits(dims: tuple[int | str | None, ...], shape: tuple[int, ...], *, by_row: bool) -> bool:
    """Tells whether all lengths are what is declared; along the batch, data are cut and joined."""
    return all(
        not isinstance(dim, int) or length == dim or (axis == 0 and by_row)
        for axis, (dim, length) in enumerate(zip(dims, shape, strict=True))
    )


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
