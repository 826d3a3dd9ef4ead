"""Tell the forms of calibration data apart."""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..arrays import Arrays
from ..errors import InputError
from ..foreign import user_code
from ..options import FileOptions, Memory, Selection
from ..user_code import imported
from .batch_axis import axes_of, settled
from .data_files import DataFiles, without_texts
from .dataset import CalibrationData
from .independence import Run
from .inputs.signature import Signature
from .masks import Padding, given_padding
from .polarity import found_padding
from .sources import FeedSource, LaterSteps, Source, feeds_of, heads_of

__all__ = ["Calibration", "open_calibration"]

# What `calibration` may be: paths, "module:callable", feeds, or what makes them.
Calibration = str | os.PathLike[str] | Iterable[Mapping[str, Any]] | Callable[[], Any] | Any

# Records that are looked at before any is read as data.
_HEADS = 2


def open_calibration(
    calibration: Calibration,
    signature: Signature,
    selection: Selection | None = None,
    files: FileOptions | None = None,
    *,
    run: Run | None = None,
    run_caches: Run | None = None,
    batch_axis: Mapping[str, Any] | None = None,
    mask: Mapping[str, Any] | None = None,
    memory: Memory | None = None,
) -> CalibrationData:
    """Opens calibration data of any form.

    Args:
        calibration: A path or a pattern such as `data/*.npz`, or a list of these,
            `module:callable`, an iterable of feeds, one mapping from input names to arrays of many
            samples, an onnxruntime `CalibrationDataReader`, or a callable that makes one of the
            last three.
        signature: What the model wants to be fed.
        selection: Which samples to use.
        files: How images and texts become arrays.
        run: Runs the model on feeds, to check what its graph says of its inputs; None to take the
            graph's word.
        run_caches: Runs the model for the caches that it gives, to feed them to a branch of its own
            for later steps; None to leave that branch out.
        batch_axis: Input name to 0, if its first axis runs over samples, or None (or `none`), where
            what is found is wrong.
        mask: Input name to what numbers other than zero are in it: `keep` for data, `drop` for
            padding, `none` where it is no mask of positions.
        memory: What the data may take, and what is computed of them.

    Raises:
        InputError: Nothing is there, or it cannot be read.
    """
    selection = selection or Selection()
    given = axes_of(batch_axis or {})
    looked_at = _HEADS if run is not None or signature.fills else 0
    found = DataFiles.of(calibration)
    files = files or FileOptions()
    source: Source
    if found is not None:
        source_for = found.reader(files)
        source = source_for(signature)
        heads = [source.head(i) for i in range(min(looked_at, source.records))]
        signature, axis = settled(_completed(signature, heads), heads, run, given)
        source = source_for(signature)
    else:
        without_texts(files, "what is fed comes from a program")
        feeds, where = _made(calibration)
        stream = _iterate(feeds, where)
        first = list(itertools.islice(stream, looked_at))
        heads = heads_of(first, signature)
        signature, axis = settled(_completed(signature, heads), heads, run, given)
        stream = itertools.chain(first, stream)
        source = FeedSource(stream, signature, where, selection.samples)
        if not source.counts():
            raise InputError(f"{where} yields no feeds.")
    if run_caches is not None:
        source, signature = _of_both_branches(source, signature, run_caches, selection)
    data = CalibrationData(source, signature, selection, axis, memory)
    padding = given_padding(signature, mask or {})
    if padding is None and run is not None:
        padding = found_padding(signature, data.batches("calibration"), run, mask or {})
    data.padding = padding or Padding()
    return data


def _completed(signature: Signature, heads: Sequence[Arrays]) -> Signature:
    """The signature by which what the first record lacks is filled in."""
    return signature.lacking(heads[0].keys()) if heads and signature.fills else signature


def _of_both_branches(
    source: Source, signature: Signature, run: Run, selection: Selection
) -> tuple[Source, Signature]:
    """The data with steps of each branch, where a decoder has two and the data know of none."""
    by_row = signature.batched and signature.batch in (None, 1)
    if not by_row or not signature.fills.has_steps(signature.inputs):
        return source, signature
    feeds = LaterSteps(source, signature, run).feeds(selection.samples)
    fills = dataclasses.replace(signature.fills, later=True)
    signature = dataclasses.replace(signature, fills=fills)
    return FeedSource(feeds, signature, "calibration", selection.samples), signature


def _made(calibration: Calibration) -> tuple[Any, str]:
    """The data that a program makes, and their name."""
    if isinstance(calibration, str | os.PathLike):
        text = os.fspath(calibration)
        return _call(imported(text, "--calib"), text), text
    return calibration() if callable(calibration) else calibration, "calibration"


def _call(make: Callable[[], Any], where: str) -> Any:
    with user_code(f"--calib {where}"):
        return make()


def _iterate(feeds: Any, where: str) -> Iterator[Mapping[str, Any]]:
    """Yields the feeds that a program makes, whatever it raises as one sentence."""
    with user_code(where):
        yield from feeds_of(feeds)
