"""Everything that a run can be told, with its defaults."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping
from typing import Any, get_args

from .._version import __version__
from ..errors import InputError, at_least
from ..passes import Kind
from .budget import Budget
from .guarantee import Guarantee, promised
from .images import ImageOptions
from .runtime import RuntimeOptions
from .selection import Selection
from .training import Training, without_training
from .types import check_types, numbers_of, size_of
from .words import Labels, MaskMeaning, Prefer, Ranks, StateOption

__all__ = ["Options"]

# Names of the command line whose fields are called otherwise.
_ALIASES = {"lr": "learning_rate", "op_type": "op_types"}

_PARTS: dict[str, type[Any]] = {
    "selection": Selection,
    "images": ImageOptions,
    "runtime": RuntimeOptions,
    "training": Training,
}

# What is written before the names of a part's fields.
_PREFIXES = {"images": "image_"}


@dataclasses.dataclass(frozen=True)
class Options:
    """The options of `factorize`; docs of each are those of the command line.

    Attributes:
        budget: What the result may cost.
        weighting: The metric that decides which directions of a weight matter.
        ranks: `global` buys ranks where they lose least; `uniform` treats all targets alike.
        labels: Where weightings that use gradients take labels from: `drawn` by the model itself
            (the true Fisher information), or `given` with the data (the empirical one).
        draws: Labels to draw for each sample.
        rank_multiple: Ranks are multiples of it; None picks 16, or less in small models.
        form: How convolutions are cut; `auto` lets the budget choose.
        include: Regular expressions; only targets whose names match one are touched.
        exclude: Regular expressions; targets whose names match one stay dense.
        op_types: Only targets of these operators are touched; empty for all.
        outputs: Output name to what it stands for, where recognition is wrong.
        batch_axis: Input name to 0, if its first axis runs over samples, or None, where what is
            found by running the model is wrong.
        mask: Input name to what numbers other than zero are in it: `keep` for data, `drop` for
            padding, `none` where it is no mask of positions.
        state: Input name to the output that is its next value, where the model is a stream;
            `none` where it is none.
        selection: Which samples to use.
        images: How image files become arrays.
        runtime: What runs models, and how.
        finetune: Whether to train the result towards the dense model, in torch.
        training: For how long and how fast.
        best_effort: Come as close as possible to a budget or promise that cannot be met.
        promise: What must hold on new data; then the budget is the smallest that keeps it.
        prefer: What a promise is to make small: `size` (the default then) or `latency`. With a
            budget, `latency` leaves out what is slower on this machine than the dense operator, and
            `size` does not look; by default it is left out where the whole model became slower.
        keep_subnormals: Leave the subnormal weights of the dense model in what is not cut.
        quantize: Bits to quantize the result to, `int8` or `int4`; None for none.
    """

    budget: Budget = dataclasses.field(default_factory=Budget)
    weighting: str = "fisher"
    ranks: Ranks = "global"
    labels: Labels = "drawn"
    draws: int = 1
    rank_multiple: int | None = None
    form: str = "auto"
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    op_types: tuple[str, ...] = ()
    outputs: Mapping[str, Kind] = dataclasses.field(default_factory=dict)
    batch_axis: Mapping[str, int | None] = dataclasses.field(default_factory=dict)
    mask: Mapping[str, MaskMeaning] = dataclasses.field(default_factory=dict)
    state: StateOption = None
    selection: Selection = dataclasses.field(default_factory=Selection)
    images: ImageOptions = dataclasses.field(default_factory=ImageOptions)
    runtime: RuntimeOptions = dataclasses.field(default_factory=RuntimeOptions)
    finetune: bool = False
    training: Training = dataclasses.field(default_factory=Training)
    keep_subnormals: bool = False
    quantize: str | None = None
    best_effort: bool = False
    promise: Guarantee | None = None
    prefer: Prefer | None = None

    def __post_init__(self) -> None:
        self._check_choices()
        self._check_numbers()
        for pattern in (*self.include, *self.exclude):
            try:
                re.compile(pattern)
            except re.error as error:
                raise InputError(f"'{pattern}' is not a regular expression: {error}.") from error

    def _check_choices(self) -> None:
        """Finds what is none of the words that an option takes."""
        if self.state not in (None, "none") and not isinstance(self.state, Mapping):
            raise InputError("state is a mapping such as {'h0': 'hn'}, or 'none'.")
        if self.ranks not in get_args(Ranks):
            raise InputError(f"There is no allocation '{self.ranks}'; use global or uniform.")
        if self.labels not in get_args(Labels):
            raise InputError(f"--labels is drawn or given, not '{self.labels}'.")
        if self.labels == "given" and self.draws > 1:
            raise InputError("Labels that are given are not drawn: leave --draws out.")
        if self.prefer not in (None, *get_args(Prefer)):
            raise InputError(f"--prefer is size or latency, not '{self.prefer}'.")

    def _check_numbers(self) -> None:
        """Finds numbers that are out of range."""
        at_least("--draws", self.draws, 1)
        if self.rank_multiple is not None:
            at_least("--rank-multiple", self.rank_multiple, 1)

    @classmethod
    def of(cls, **options: Any) -> Options:
        """Options from one flat set of names.

        Args:
            **options: Fields of `Options`, `Selection`, `ImageOptions` (prefixed by `image_`),
                `RuntimeOptions` and `Training`, also as the command line calls them (`lr`);
                `budget` may be text; single strings stand for tuples of one; `max_divergence` and
                `keep` make a promise.

        Raises:
            InputError: A name is unknown or a value is wrong.
        """
        parts: dict[str, dict[str, Any]] = {name: {} for name in _PARTS}
        own: dict[str, Any] = {}
        fields = {field.name for field in dataclasses.fields(cls)} | {"max_divergence", "keep"}
        for given, value in options.items():
            name = _ALIASES.get(given, given)
            if name != given and name in options:
                raise InputError(f"Give {given} or {name}, not both: they are the same option.")
            home = next((part for part in _PARTS if name in _names(part)), None)
            if home is not None:
                parts[home][name.removeprefix("image_")] = value
            elif name in fields - set(_PARTS):
                own[name] = value
            else:
                raise InputError(f"There is no option '{name}'.")
        _read(parts["images"], parts["training"])
        _as_tuples(own, "include", "exclude", "op_types")
        _as_tuples(parts["runtime"], "custom_ops")
        for part, values in parts.items():
            check_types(_PARTS[part], values, _PREFIXES.get(part, ""))
        own["promise"] = promised(own)
        if isinstance(own.get("budget"), str):
            own["budget"] = Budget.parse(own["budget"])
        if not isinstance(own.get("budget", Budget()), Budget):
            raise InputError("budget must be text such as 'params=0.5', or a Budget.")
        check_types(cls, own)
        without_training([] if own.get("finetune") else _unusual(parts["training"]))
        return cls(**own, **{part: _PARTS[part](**given) for part, given in parts.items()})

    def excluded(self, name: str, op_type: str) -> str | None:
        """The reason why an operator is left alone; None where it may be touched."""
        if self.op_types and op_type not in self.op_types:
            return "is excluded by --op-type"
        if self.include and not any(re.search(pattern, name) for pattern in self.include):
            return "is excluded by --include"
        if any(re.search(pattern, name) for pattern in self.exclude):
            return "is excluded by --exclude"
        return None

    def provenance(self) -> dict[str, str]:
        """What made a model, for its metadata."""
        made = f"--budget {self.budget} --weighting {self.weighting} --ranks {self.ranks}"
        if self.quantize:
            made += f" --quantize {self.quantize}"
        return {"version": __version__, "options": made}

    def as_dict(self) -> dict[str, Any]:
        """The options as plain data, for the report."""
        promise = None if self.promise is None else self.promise.option
        return {**dataclasses.asdict(self), "budget": str(self.budget), "promise": promise}


def _as_tuples(given: dict[str, Any], *names: str) -> None:
    """Has single texts stand for tuples of one."""
    for name in names:
        if isinstance(given.get(name), str):
            given[name] = (given[name],)


def _names(part: str) -> set[str]:
    """The flat names of the fields of a part."""
    prefix = _PREFIXES.get(part, "")
    return {prefix + field.name for field in dataclasses.fields(_PARTS[part])}


def _unusual(training: Mapping[str, Any]) -> list[str]:
    """The options of training that are not what they are by default.

    A caller may pass all of its settings on, most of which say nothing.
    """
    usual = dataclasses.asdict(Training())
    return [name for name, value in training.items() if value != usual[name]]


def _read(images: dict[str, Any], training: dict[str, Any]) -> None:
    """Reads what is written as on the command line, `image_size="224x224"`, and paths."""
    for name, read in (("mean", numbers_of), ("std", numbers_of), ("size", size_of)):
        if isinstance(images.get(name), str):
            images[name] = read(f"image_{name}", images[name])
    if isinstance(training.get("checkpoint"), os.PathLike):
        training["checkpoint"] = os.fspath(training["checkpoint"])
