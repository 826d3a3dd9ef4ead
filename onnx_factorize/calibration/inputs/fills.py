"""What a decoder is fed beside its token ids: filled in where data lack it and it is certain.

At the first step of a text there is nothing in the caches, all positions hold data, and they are
counted from 0.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Collection, Sequence

import numpy as np

from ...arrays import AnyArray, Arrays, NamedArrays
from ...passes import Cache
from ...units import listed
from .spec import InputSpec

__all__ = ["Fills", "ids_of"]

_IDS = re.compile(r"(^|[./])input_ids(:\d+)?$")
_EMBEDDED = re.compile(r"(^|[./])inputs_embeds$")

# Those of samples and positions.
_AXES = 2


@dataclasses.dataclass(frozen=True)
class _Prompt:
    """The feed that is to be completed.

    Attributes:
        rows: Its samples.
        length: Positions of each.
        past: Positions that are in the caches.
        mask: What the data say of the positions, shape (rows, past + length); None if nothing.
    """

    rows: int
    length: int
    past: int
    mask: AnyArray | None


@dataclasses.dataclass(frozen=True)
class _Rule:
    """What inputs of a name are filled with.

    Attributes:
        name: Their name.
        kinds: The kinds of their elements, as numpy calls them.
        axes: How many axes they may have, at most.
        what: What they are filled with, for people.
        make: Makes it, shape (rows, positions).
    """

    name: re.Pattern[str]
    kinds: str
    axes: int
    what: str
    make: Callable[[_Prompt], AnyArray]

    def serves(self, spec: InputSpec) -> bool:
        """Tells whether an input is filled so."""
        fits = spec.dims is not None and len(spec.dims) <= self.axes
        return fits and spec.dtype.kind in self.kinds and bool(self.name.search(spec.name))


def _positions(prompt: _Prompt) -> AnyArray:
    """The numbers of the positions; padding does not count."""
    mask, length = prompt.mask, prompt.past + prompt.length
    if mask is None or mask.shape != (prompt.rows, length):
        mask = np.ones((prompt.rows, length), np.bool_)
    numbers: AnyArray = np.maximum(np.cumsum(mask != 0, axis=1) - 1, 0)
    return numbers[:, prompt.past :]


_RULES = (
    _Rule(
        re.compile(r"(^|[./])(attention|input)_mask(:\d+)?$"), "iub", 2, "ones",
        lambda prompt: np.ones((prompt.rows, prompt.past + prompt.length)),
    ),
    _Rule(
        re.compile(r"(^|[./])(position_ids|cache_position)$"), "iu", 2, "0, 1, 2, …", _positions
    ),
    _Rule(
        re.compile(r"(^|[./])(token_type|segment)_ids(:\d+)?$"), "iu", 2, "zeros",
        lambda prompt: np.zeros((prompt.rows, prompt.length)),
    ),
)  # fmt: skip

# Says of a graph with two branches which one runs; an array of one element.
_BRANCH = _Rule(
    re.compile(r"(^|[./])use_cache_branch$"), "b", 1, "false", lambda _: np.zeros((1, 1))
)


@dataclasses.dataclass(frozen=True)
class _Fill:
    """An input that is filled in.

    Attributes:
        spec: The input; it is shared where it has no row for each sample.
        what: What it is filled with, for people.
        make: Makes the array.
        cache: The cache that it is, if it is one.
    """

    spec: InputSpec
    what: str
    make: Callable[[_Prompt], AnyArray]
    cache: Cache | None = None

    @classmethod
    def by(cls, rule: _Rule, spec: InputSpec, lead: InputSpec) -> _Fill:
        """The fill of an input by a rule.

        Args:
            rule: The rule.
            spec: The input.
            lead: The input whose samples it has.
        """
        dims = spec.dims or ()
        shared = len(dims) < _AXES or dims[0] == 1 != (lead.dims or ())[0]

        def make(prompt: _Prompt) -> AnyArray:
            one = dataclasses.replace(prompt, rows=1, mask=None) if shared else prompt
            made = rule.make(one).astype(spec.dtype)
            return np.reshape(made, made.shape[_AXES - len(dims) :])

        return cls(dataclasses.replace(spec, shared=shared), rule.what, make)

    @classmethod
    def of_cache(cls, cache: Cache, spec: InputSpec, lead: InputSpec) -> _Fill | None:
        """An empty cache; None where it has other samples, or a length is not known."""
        dims, samples = spec.dims or (), (lead.dims or ())[0]
        same = dims[0] == samples or not (isinstance(dims[0], int) or isinstance(samples, int))
        known = [n for axis, n in enumerate(cache.lengths) if axis not in (0, cache.axis)]
        if not same or None in known:
            return None

        def make(prompt: _Prompt) -> AnyArray:
            shape = [length or 0 for length in cache.lengths]
            return np.zeros((prompt.rows, *shape[1:]), spec.dtype)

        return cls(spec, "an empty cache", make, cache)


@dataclasses.dataclass(frozen=True)
class Fills:
    """The inputs that are filled in.

    Attributes:
        lead: The input whose samples and positions the others have; None if nothing is filled in.
        each: Those inputs.
        caches: All caches of the model.
        later: Whether some samples are steps with caches that the model gave.
    """

    lead: str | None = None
    each: tuple[_Fill, ...] = ()
    caches: tuple[Cache, ...] = ()
    later: bool = False

    @classmethod
    def of(cls, inputs: Sequence[InputSpec], caches: Sequence[Cache]) -> Fills:
        """Everything that could be filled in, if the data lacked it.

        Args:
            inputs: The model's inputs.
            caches: Its caches.
        """
        embedded = (s for s in inputs if _EMBEDDED.search(s.name) and len(s.dims or ()) > _AXES)
        lead = ids_of(inputs) or next(embedded, None)
        if lead is None:
            return cls()
        by_name = {cache.input: cache for cache in caches}
        found: list[_Fill | None] = []
        for spec in inputs:
            if spec.name in by_name:
                found.append(_Fill.of_cache(by_name[spec.name], spec, lead))
            elif spec is not lead:
                rules = (rule for rule in (*_RULES, _BRANCH) if rule.serves(spec))
                found += [_Fill.by(rule, spec, lead) for rule in rules]
        return cls(lead.name, tuple(fill for fill in found if fill is not None), tuple(caches))

    def __bool__(self) -> bool:
        return bool(self.each)

    @property
    def names(self) -> frozenset[str]:
        """The names of the inputs."""
        return frozenset(fill.spec.name for fill in self.each)

    @property
    def shared(self) -> frozenset[str]:
        """Those that have no row for each sample."""
        return frozenset(fill.spec.name for fill in self.each if fill.spec.shared)

    @property
    def branches(self) -> frozenset[str]:
        """Those that say which of two branches runs."""
        return frozenset(fill.spec.name for fill in self.each if _BRANCH.serves(fill.spec))

    def has_steps(self, inputs: Sequence[InputSpec]) -> bool:
        """Tells whether steps of both branches can be made of the data.

        That is so where these hold nothing that says something of each position but the lead.

        Args:
            inputs: The model's inputs.
        """
        others = {spec.name for spec in inputs if any(rule.serves(spec) for rule in _RULES)}
        caches = {cache.input for cache in self.caches}
        return bool(self.branches and caches) and (others - {self.lead} | caches) <= self.names

    def without(self, given: Collection[str]) -> Fills:
        """What is filled in if the data hold some inputs.

        Where they hold some caches and not all, none is known to be empty. A cache that does not
        grow (of an encoder) may be empty only in the branch that does not look at it.
        """
        if self.lead not in given:
            return Fills()
        left = [fill for fill in self.each if fill.spec.name not in given]
        if any(cache.input in given for cache in self.caches):
            left = [fill for fill in left if fill.cache is None]
        if not any(_BRANCH.serves(fill.spec) for fill in left):
            left = [fill for fill in left if fill.cache is None or fill.cache.grows]
        return dataclasses.replace(self, each=tuple(left)) if left else Fills()

    def made(self, feeds: NamedArrays) -> Arrays:
        """The arrays that feeds lack.

        Args:
            feeds: Those that there are, as the model wants them.
        """
        lead = None if self.lead is None else feeds.get(self.lead)
        if lead is None or lead.ndim < _AXES:
            return {}
        rows, length = lead.shape[:2]
        whole = (c for c in self.caches if c.grows and c.lengths[c.axis] is None)
        pasts = [feeds[c.input].shape[c.axis] for c in whole if c.input in feeds]
        masks = (array for name, array in feeds.items() if _RULES[0].name.search(name))
        prompt = _Prompt(rows, length, max(pasts, default=0), next(masks, None))
        return {f.spec.name: f.make(prompt) for f in self.each if f.spec.name not in feeds}

    @property
    def said(self) -> str | None:
        """What is filled in, in a sentence; None if nothing is."""
        groups: dict[str, list[str]] = {}
        for fill in self.each:
            groups.setdefault(fill.what, []).append(fill.spec.name)
        if not groups:
            return None
        each = "; ".join(f"{listed(names)}: {what}" for what, names in groups.items())
        steps = (
            ", and some samples became a last step behind the others, with the caches that these "
            "give, so that both branches run"
        )
        return (
            f"Inputs that the data lack were filled in, as at the first step of a text ({each})"
            f"{steps if self.later else ''}."
        )

    def as_dict(self) -> dict[str, object]:
        """The entry in the report."""
        return {"inputs": {f.spec.name: f.what for f in self.each}, "said": self.said}


def ids_of(inputs: Sequence[InputSpec]) -> InputSpec | None:
    """The input that takes token ids: by its name, or the only one of integers in two axes."""
    pairs = [s for s in inputs if s.dtype.kind in "iu" and len(s.dims or ()) == _AXES]
    named = [spec for spec in pairs if _IDS.search(spec.name)]
    others = [spec for spec in pairs if not any(rule.serves(spec) for rule in _RULES)]
    found = named or others
    return found[0] if len(found) == 1 else None
