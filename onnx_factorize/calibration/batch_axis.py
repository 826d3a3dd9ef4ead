"""Along which axis the samples of a model's inputs lie: what the graph says is checked."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..arrays import Arrays
from ..errors import InputError
from .first_rows import first_rows, fitted, keyed, rows_in, several
from .independence import Run, Verdict, replicated, verdict_on
from .inputs.signature import Signature

__all__ = ["BatchAxis", "axes_of", "settled"]

# Rows that are run together: two, where the graph speaks of a batch; where it does not, so many
# that those which depend on others further away are found too.
_FEW, _MANY = 2, 16

# Symbols that are a batch to everybody. N is one too, and a number of points, nodes or frames.
_BATCH = re.compile(r"batch|^(b|bs|bsz)$", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class BatchAxis:
    """The axis of samples of each input, and how it was found.

    Attributes:
        inputs: Input name to 0, if its first axis runs over samples, or None.
        at_once: How many samples the model takes at once; None if any number, or if each file or
            feed is one sample.
        how: `graph` (the data could not tell), `checked` (the graph says so, and the model agrees),
            `found` (the model does otherwise than its graph says) or `given` by the user.
        said: A sentence for people; None where everything is as usual.
    """

    inputs: dict[str, int | None]
    at_once: int | None
    how: str
    said: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """The entry in the report."""
        return dataclasses.asdict(self)


def axes_of(given: Mapping[str, Any]) -> dict[str, int | None]:
    """Batch axes as a user gives them.

    Args:
        given: Input name to 0, None, or either as text.

    Raises:
        InputError: It is something else.
    """
    axes: dict[str, int | None] = {}
    for name, value in given.items():
        if value in (None, "none"):
            axes[name] = None
        elif not isinstance(value, bool) and value in (0, "0"):
            axes[name] = 0
        else:
            raise InputError(
                f"--batch-axis {name}={value}: samples are read along axis 0 (0), or each file or "
                "feed is one sample (none); no other axis is divided."
            )
    return axes


def settled(
    signature: Signature,
    heads: Sequence[Arrays],
    run: Run | None,
    given: Mapping[str, int | None],
) -> tuple[Signature, BatchAxis]:
    """The signature as the model and the user confirm it.

    Args:
        signature: What the graph says.
        heads: The first records of the data, or the first rows of them.
        run: The model; None to take the graph's word.
        given: What the user says, which needs no check.

    Raises:
        InputError: The user names what is no input.
    """
    if given:
        return _as_given(signature, heads, given)
    if run is None or not heads:
        return signature, _found(signature, "graph")
    if signature.batch is not None and signature.batch > 1:
        return _fixed(signature, heads, run)
    if signature.batch == 1:
        return signature, _found(signature, "graph")
    return _open(signature, heads, run)


def _as_given(
    signature: Signature, heads: Sequence[Arrays], given: Mapping[str, int | None]
) -> tuple[Signature, BatchAxis]:
    """The axes that the user names, and what follows for the other inputs."""
    names = [spec.name for spec in signature.everything]
    unknown = next((name for name in given if name not in names), None)
    if unknown is not None:
        raise InputError(
            f"--batch-axis names '{unknown}', but the model's inputs are {', '.join(names)}."
        )
    named = next((name for name, axis in given.items() if axis == 0), None)
    if signature.batched:
        base = {spec.name for spec in signature.everything if not spec.shared}
    elif named is None or not heads:
        base = set()
    else:
        # Of the others, those go along that have as many rows as the one that was named.
        like = _candidate(signature, heads[0], named)
        base = set() if like is None else {s.name for s in like.everything if not s.shared}
    by_row = {name for name in names if (given[name] == 0 if name in given else name in base)}
    changed = signature.with_rows(by_row)
    return changed, _found(changed, "given")


def _found(signature: Signature, how: str, said: str | None = None) -> BatchAxis:
    inputs = {
        spec.name: 0 if signature.batched and not spec.shared else None
        for spec in signature.everything
    }
    return BatchAxis(inputs, signature.batch, how, said)


def _fixed(signature: Signature, heads: Sequence[Arrays], run: Run) -> tuple[Signature, BatchAxis]:
    """A first axis of a fixed length: a batch, or a window of one sample?"""
    rows = signature.batch or 1
    head = fitted(signature, heads[0])
    if head is None or rows_in(head, signature.shared) < rows:
        return signature, _found(signature, "graph")
    feeds = keyed(signature, first_rows(head, signature.shared, rows))
    verdict = replicated(run, feeds, signature.shared)
    if verdict != "dependent":
        how = "checked" if verdict == "independent" else "graph"
        return signature, _found(signature, how)
    whole = signature.whole()
    if fitted(whole, heads[0]) is None:
        return signature, _found(
            signature,
            "graph",
            f"The {rows} rows that the model takes at once depend on each other, so they may be "
            "one sample and not a batch: then give files of one each, and --batch-axis "
            f"{signature.inputs[0].name}=none.",
        )
    return whole, _found(
        whole,
        "found",
        f"The {rows} rows that the model takes at once depend on each other: each file or feed is "
        "one sample (--batch-axis overrules).",
    )


def _open(signature: Signature, heads: Sequence[Arrays], run: Run) -> tuple[Signature, BatchAxis]:
    """A first axis of any length: samples, or the time of one sample?"""
    candidate = signature if signature.batched else _candidate(signature, heads[0])
    if candidate is None:
        return signature, _found(signature, "graph")
    lead = next((s.dims[0] for s in candidate.inputs if not s.shared and s.dims), None)
    symbol = lead if isinstance(lead, str) else "?"
    plain = signature.batched and any(len(s.dims or ()) > 1 for s in signature.inputs)
    feeds = several(candidate, heads, _FEW if plain else _MANY)
    verdict: Verdict = "unknown"
    if feeds is not None:
        verdict = verdict_on(run, keyed(candidate, feeds), candidate.shared)
    if verdict == "independent":
        said = None
        if not signature.batched:
            own = ", ".join(f"'{s.name}'" for s in candidate.everything if not s.shared)
            said = (
                f"Rows of {own} give alone what they give together: they are samples "
                "(--batch-axis overrules)."
            )
        return candidate, _found(candidate, "checked" if signature.batched else "found", said)
    alone = dataclasses.replace(candidate, batch=1)
    if verdict == "one" and (signature.batched or not _runs_whole(signature, heads[0], run)):
        said = (
            "The model runs on one sample and not on several at once, though its inputs leave the "
            "number open: samples run one by one."
        )
        return alone, _found(alone, "found", said)
    if not signature.batched:
        return signature, _found(signature, "checked" if verdict == "dependent" else "graph")
    whole = signature.whole()
    named = plain and _BATCH.search(symbol)
    if verdict == "dependent" and (named or fitted(whole, heads[0]) is None):
        said = (
            f"Samples along '{symbol}' do not give together what they give alone: they run one by "
            f"one (--batch-axis {candidate.inputs[0].name}=none if each file is one sample)."
        )
        return alone, _found(alone, "found", said)
    if verdict == "dependent" or (verdict == "fails" and _runs_whole(whole, heads[0], run)):
        said = (
            f"Rows along the first axis ('{symbol}') are not samples of their own: each file or "
            "feed is one sample (--batch-axis overrules)."
        )
        return whole, _found(whole, "found", said)
    return signature, _found(signature, "graph")


def _candidate(signature: Signature, head: Arrays, like: str | None = None) -> Signature | None:
    """The batch there would be, if the inputs whose first axes are open ran over samples.

    Args:
        signature: The model's inputs.
        head: The first record.
        like: The input whose rows are samples; None for those of most inputs.
    """
    lengths = {}
    for spec in signature.inputs:
        shape = np.shape(head[spec.name]) if spec.name in head else ()
        if spec.dims is None:
            axes = len(shape)
        elif not spec.dims or isinstance(spec.dims[0], int):
            continue
        else:
            axes = len(spec.dims)
        if axes:
            lengths[spec.name] = shape[0] if len(shape) == axes else 1
    if not lengths:
        return None
    usual, _ = Counter(lengths.values()).most_common(1)[0]
    wanted = lengths.get(like or "", usual)
    rows = {name for name, length in lengths.items() if length == wanted}
    return signature.with_rows(rows)


def _runs_whole(signature: Signature, head: Arrays, run: Run) -> bool:
    """Tells whether a record runs as one feed."""
    feed = fitted(signature.whole(), head)
    if feed is None:
        return False
    try:
        run(feed)
    except InputError:
        return False
    return True
