"""Everything that a run can be told, with its defaults."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Mapping
from typing import Any, get_args

from .._version import __version__
from ..deployment import Device
from ..deployment.devices import device_named
from ..errors import InputError, at_least
from ..passes import Kind
from .budget import Budget
from .by_name import by_part
from .effort import Effort, effort_named
from .fields import Named, flat, option, part, parts_of
from .guarantee import Guarantee, GuaranteeAsked, guarantee_asked
from .images import ImageOptions
from .memory import Memory
from .messages import naming_parameters
from .runtime import RuntimeOptions
from .selection import Selection
from .texts import TextOptions
from .training import Training, without_training
from .types import check_types
from .words import (
    Blockwise,
    EffortName,
    Labels,
    MaskMeaning,
    Narrow,
    Prefer,
    Ranks,
    StateOption,
    WrittenAs,
)

__all__ = ["Options"]


@dataclasses.dataclass(frozen=True)
class Options:
    """The options of `factorize`; docs of each are those of the command line.

    Attributes:
        budget: What the result may cost.
        weighting: The metric that decides which directions of a weight matter.
        ranks: `global` allocates ranks where they lose least; `uniform` treats all targets alike.
        effort: How much is computed to choose ranks: `low`, `normal` or `high`.
        max_time: Seconds from the start after which the search for ranks ends with the best so far;
            None for as long as the effort allows. Then a run does not repeat exactly.
        labels: Where weightings that use gradients take labels from: `drawn` by the model itself
            (the true Fisher information), or `given` with the data (the empirical one).
        draws: Labels to draw for each sample; None for up to 4 where the model is cheap.
        rank_multiple: Ranks are multiples of it; None picks 16, or less in small models.
        form: How convolutions are cut; `auto` lets the budget choose.
        factors: Whether two factors are written as such (`pair`), or as an identity block, wherever
            that can be (`identity`) or is worth it (`auto`).
        narrow: Whether channels between operators may go, where that loses less than factors
            (`auto`), or may not (`off`), or nothing else may be done (`only`).
        include: Regular expressions; only targets whose names, or the modules that they were
            exported from, match one are touched.
        exclude: Regular expressions; targets whose names match one stay dense.
        op_types: Only targets of these operators are touched; empty for all.
        deploy_to: The device that the result is for: its rules act where an option is left to the
            program (`rank_multiple`, `form` and `factors`), and on what is touched; None for none.
        outputs: Output name to what it stands for, where recognition is wrong.
        batch_axis: Input name to 0, if its first axis runs over samples, or None, where what is
            found by running the model is wrong.
        mask: Input name to what numbers other than zero are in it: `keep` for data, `drop` for
            padding, `none` where it is no mask of positions.
        state: Input name to the output that is its next value, where the model is a stream;
            `none` where it is none.
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
        keep_subnormals: Leave the subnormal weights of the dense model in what is not cut.
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
    weighting: str = option(
        "fisher",
        "How directions of a weight are valued: by what they change in the outputs (fisher, "
        "or diagonal, cheaper), by what reaches them (activation), or alike (none).",
    )
    ranks: Ranks = option("global", "Where ranks go: to where least is lost, or alike to all.")
    effort: EffortName = option(
        "normal",
        "How much is computed to choose ranks: low takes little more than the "
        "calibration, normal about three times as much, high up to ten.",
    )
    max_time: float | None = option(
        None,
        "Choose ranks for so many seconds from the start, at most: then the best so far is taken.",
        metavar="SECONDS",
    )
    labels: Labels = option(
        "drawn",
        "Where labels come from: the model draws them, or they are given as `label` with the data.",
    )
    draws: int | None = option(
        None, "Labels to draw for each sample.  [default: up to 4 where the model is cheap]"
    )
    rank_multiple: int | None = option(
        None, "Ranks are multiples of it.  [default: 16, or less in small models]"
    )
    form: str = option("auto", "How convolutions are cut; auto takes the best.")
    factors: WrittenAs = option(
        "pair",
        "How two factors are written: a rank r of K x N takes r (K + N) numbers as a pair, or "
        "r (K + N - r) as an identity block.",
    )
    narrow: Narrow = option(
        "auto",
        "Whether channels between operators may go, too (auto), or not (off), or nothing but "
        "those (only).",
    )
    include: tuple[str, ...] = option(
        (),
        "Cut only nodes, or modules, with such names; repeatable.",
        metavar="REGEX",
        repeated=True,
    )
    exclude: tuple[str, ...] = option(
        (), "Cut no nodes, or modules, with such names; repeatable.", metavar="REGEX", repeated=True
    )
    op_types: tuple[str, ...] = option(
        (),
        "Cut only this operator, such as MatMul; repeatable.",
        flag="op-type",
        metavar="T",
        repeated=True,
    )
    deploy_to: str | None = option(
        None,
        "What the result is for: {words}. Settles what --rank-multiple, --form and --factors leave "
        "open, and which operators stay dense.",
        metavar="DEVICE",
    )
    outputs: Mapping[str, Kind] = option(
        {},
        "categorical, bernoulli, gaussian or ignore, where recognition is wrong.",
        metavar="NAME=KIND",
        repeated=True,
    )
    batch_axis: Mapping[str, int | None] = option(
        {},
        "0 where the input's first axis runs over samples, none where it does not, if what is "
        "found by running the model is wrong.",
        metavar="INPUT=AXIS",
        repeated=True,
    )
    mask: Mapping[str, MaskMeaning] = option(
        {},
        "keep where numbers other than zero are data, drop where they are padding, none where it "
        "is no mask, if what is found by running the model is wrong.",
        metavar="INPUT=MEANING",
        repeated=True,
    )
    state: StateOption = option(
        None,
        "The input IN takes what OUT gave a step before: verify along streams, too. Found by "
        "itself where the data are steps of one; none turns that off.",
        metavar="IN=OUT",
        repeated=True,
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
    keep_subnormals: bool = option(
        False,
        "Leave subnormal numbers in the dense model's weights, where they slow processors down; "
        "by default they become 0 where outputs stay equal to the bit on the data.",
    )
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
        if self.narrow not in get_args(Narrow):
            raise InputError(f"--narrow is auto, off or only, not '{self.narrow}'.")
        if self.blockwise not in get_args(Blockwise):
            raise InputError(f"--blockwise is auto, on or off, not '{self.blockwise}'.")
        if self.factors not in get_args(WrittenAs):
            raise InputError(f"--factors is auto, pair or identity, not '{self.factors}'.")
        effort_named(self.effort)
        if self.deploy_to is not None:
            device_named(self.deploy_to)
        if self.labels not in get_args(Labels):
            raise InputError(f"--labels is drawn or given, not '{self.labels}'.")
        if self.labels == "given" and (self.draws or 1) > 1:
            raise InputError("Labels that are given are not drawn: leave --draws out.")
        if self.prefer not in (None, *get_args(Prefer)):
            raise InputError(f"--prefer is size or latency, not '{self.prefer}'.")

    def _check_numbers(self) -> None:
        """Finds numbers that are out of range."""
        if self.draws is not None:
            at_least("--draws", self.draws, 1)
        if self.max_time is not None and not self.max_time > 0:
            raise InputError("--max-time must be above 0 seconds.")
        if self.rank_multiple is not None:
            at_least("--rank-multiple", self.rank_multiple, 1)

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
    def device(self) -> Device | None:
        """The device that the result is for; None where none is named."""
        return None if self.deploy_to is None else device_named(self.deploy_to)

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

    def excluded(self, name: str, op_type: str, module: str | None = None) -> str | None:
        """The reason why an operator is left alone; None where it may be touched.

        Args:
            name: Its name.
            op_type: The operator.
            module: The module that it was exported from: patterns may match that instead.
        """
        names = (name,) if module is None else (name, module)

        def matches(pattern: str) -> bool:
            return any(re.search(pattern, each) for each in names)

        if self.op_types and op_type not in self.op_types:
            return "is excluded by --op-type"
        if self.include and not any(map(matches, self.include)):
            return "is excluded by --include"
        if any(map(matches, self.exclude)):
            return "is excluded by --exclude"
        return None

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
