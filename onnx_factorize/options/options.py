"""Everything that a run can be told, with its defaults."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, get_args

from .._version import __version__
from ..errors import InputError
from .budget import Budget
from .by_name import by_part
from .cuts import CutOptions
from .effort import Effort, effort_named
from .fields import Named, flat, option, part, parts_of
from .guarantee import Guarantee, GuaranteeAsked, guarantee_asked
from .images import ImageOptions
from .meanings import MeaningOptions
from .memory import Memory
from .messages import naming_parameters
from .runtime import RuntimeOptions
from .search import SearchOptions
from .selection import Selection
from .texts import TextOptions
from .training import Training, without_training
from .types import check_types
from .words import (
    Blockwise,
    Narrow,
    Prefer,
)

__all__ = ["Options"]


@dataclasses.dataclass(frozen=True)
class Options(MeaningOptions, CutOptions, SearchOptions):
    """The options of `factorize`; docs of each are those of the command line.

    Those on meanings, cuts and the search are those of its bases.

    Attributes:
        budget: What the result may cost.
        selection: Which samples to use.
        memory: What a run may take for data and what is computed of them; None for half of what is
            free, and no more than 2 GB.
        blockwise: Whether one block of the model after the other is calibrated: `auto` where its
            weights are larger than `memory`, `on` or `off`.
        images: How image files become arrays.
        texts: How text files become token ids.
        runtime: What runs models, and how.
        finetune: Whether to train the result towards the dense model, in torch.
        training: For how long and how fast.
        best_effort: Come as close as possible to a budget or guarantee that cannot be met.
        statistics: A file of statistics that `calibrate` or `merge` wrote, in place of calibrating.
        metric: `module:callable`: what is reported of both models on held-out samples, too.
        promise: What must hold on new data; then the budget is the smallest that keeps it.
        prefer: What a guarantee is to make small: `size` (the default then) or `latency`. With a
            budget, `latency` leaves out what is slower on this machine than the dense operator, and
            `size` does not look; by default it is left out where the whole model became slower.
        quantize: Bits to quantize the result to, `int8`, `int4` or `fp16`; None for none.

    Example:
        >>> from onnx_factorize import Options
        >>> options = Options.of(budget="bytes=12MB", samples=64, lr=0.001, finetune=True)
        >>> options.budget.value, options.selection.samples, options.training.learning_rate
        (12000000.0, 64, 0.001)
    """

    budget: Budget = option(
        Budget(),
        "params (of the whole model), targets (of the factorizable operators), macs, bytes or "
        "latency (measured here); up to 1 a fraction of the dense model, else absolute, such as "
        f"bytes=12MB or latency=5ms.  [default: {Budget()}]",
        metavar="KIND=VALUE",
        hides_default=True,
    )
    memory: Memory | None = option(
        None,
        "Memory for data and what is computed of them, such as 4GB.  [default: half of what is "
        "free, at most 2GB]",
        metavar="SIZE",
    )
    blockwise: Blockwise = option(
        "auto",
        "Whether one block of the model after the other is calibrated, with what crosses between "
        "them in temporary files; auto: where its weights are larger than --memory.",
    )
    selection: Selection = part(Selection)
    images: ImageOptions = part(ImageOptions, "image_")
    texts: TextOptions = part(TextOptions)
    runtime: RuntimeOptions = part(RuntimeOptions)
    finetune: bool = option(False, "Train the result towards MODEL (needs torch).")
    training: Training = part(Training)
    quantize: str | None = option(
        None,
        "Round the result to int8 (dynamic, or static for convolutions), int4 (weights of MatMul) "
        "or fp16 (all but inputs and outputs).",
    )
    best_effort: bool = option(False, "Come as close to the budget as possible.")
    statistics: str | None = option(
        None,
        "Statistics that calibrate or merge wrote: take them instead of calibrating.",
        metavar="FILE",
    )
    metric: str | None = option(
        None,
        "A metric of your own, reported beside the divergence: from the predictions and labels of "
        "the held-out samples to a number, or one for each.",
        metavar="MODULE:CALLABLE",
    )
    promise: Guarantee | None = None
    prefer: Prefer | None = option(
        None,
        "What a guarantee makes small (default: size). With a budget, latency leaves out cuts that "
        "are slower here than their dense operators, and size does not look; by default they are "
        "left out where the whole model became slower.",
    )

    def __post_init__(self) -> None:
        self._check_search()
        self._check_cuts()
        self._check_meanings()
        if self.blockwise not in get_args(Blockwise):
            raise InputError(f"--blockwise is auto, on or off, not '{self.blockwise}'.")
        if self.prefer not in (None, *get_args(Prefer)):
            raise InputError(f"--prefer is size or latency, not '{self.prefer}'.")

    @classmethod
    def of(cls, **options: Any) -> Options:
        """Options from one flat set of names.

        Args:
            **options: Fields of `Options`, `Selection`, `ImageOptions` (prefixed by `image_`),
                `RuntimeOptions` and `Training`, also as the command line calls them (`lr`);
                `budget` may be text; single strings stand for tuples of one; `max_divergence` and
                `keep` make a guarantee.

        Raises:
            InputError: A name is unknown or a value is wrong.
        """
        with naming_parameters(cls.names()):
            return cls.typed(**options)

    @classmethod
    def typed(cls, **options: Any) -> Options:
        """The same for the command line: its errors name flags."""
        own, parts = by_part(cls.names(), options)
        own["promise"] = guarantee_asked(own)
        if isinstance(own.get("budget"), str):
            own["budget"] = Budget.parse(own["budget"])
        if not isinstance(own.get("budget", Budget()), Budget):
            raise InputError("budget must be text such as 'params=0.5', or a Budget.")
        if own.get("memory") is not None:
            own["memory"] = Memory.of(own["memory"])
        check_types(cls, own)
        for name, part_of, prefix in parts_of(cls):
            check_types(part_of, parts.get(name, {}), prefix)
        without_training([] if own.get("finetune") else _unusual(parts.get("training", {})))
        made = {name: part_of(**parts.get(name, {})) for name, part_of, _ in parts_of(cls)}
        return cls(**own, **made)

    @classmethod
    @functools.cache
    def names(cls) -> Mapping[str, Named]:
        """Every option by its name, those of the parts and those that ask for a guarantee, too."""
        return flat(cls) | flat(GuaranteeAsked)

    @property
    def search_effort(self) -> Effort:
        """The work that may go into the choice of ranks, and of channels where that is all."""
        effort = effort_named(self.effort)
        return effort.for_channels if self.narrow == "only" else effort

    @property
    def narrowing(self) -> Narrow:
        """Whether channels may be narrowed: not where all operators get the same share."""
        return "off" if self.ranks == "uniform" else self.narrow

    @property
    def prefers_speed(self) -> bool:
        """Tells whether time is to be small, whatever the budget is of.

        What a profile tells of a device costs nothing to look up.
        """
        told = bool(self.runtime.latency_profile) and self.promise is None
        return self.prefer == "latency" or (told and self.prefer is None)

    def provenance(self) -> dict[str, str]:
        """The provenance of a model, for its metadata."""
        made = f"--budget {self.budget} --weighting {self.weighting} --ranks {self.ranks}"
        if self.quantize:
            made += f" --quantize {self.quantize}"
        if self.deploy_to:
            made += f" --deploy-to {self.deploy_to}"
        return {"version": __version__, "options": made}

    def as_dict(self) -> dict[str, Any]:
        """The options as plain data, for the report."""
        guarantee = None if self.promise is None else self.promise.option
        memory = None if self.memory is None else self.memory.bytes
        plain = {"budget": str(self.budget), "promise": guarantee, "memory": memory}
        return {**dataclasses.asdict(self), **plain}


def _unusual(training: Mapping[str, Any]) -> list[str]:
    """The options of training that are not what they are by default.

    A caller may pass all of its settings on, most of which say nothing.
    """
    usual = dataclasses.asdict(Training())
    return [name for name, value in training.items() if value != usual[name]]
