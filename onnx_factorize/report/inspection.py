"""`inspect`: what is factorizable in a model, what it costs, what is skipped and why."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy.typing as npt
import onnx_ir as ir

from ..allocation.model_costs import Costs
from ..calibration import Signature
from ..calibration.zeros import zeros
from ..deployment.devices import device_named
from ..errors import InputError
from ..factorization.narrowing.narrowing import find_narrowings
from ..files import model_io
from ..files.sizes import serialized_size
from ..outputs import recognized
from ..outputs.caches import cached_values
from ..passes import FindConstants, FindTargets, LiftWeights, Skipped, Target, history, title_of
from ..runtime.arithmetic import Arithmetic, count_arithmetic
from ..runtime.runtimes.onnx_runtime import OnnxRuntime
from ..runtime.session import Runtime
from .channel_rows import channel_rows
from .lint import Lint, lint
from .outlook import Outlook, outlook
from .report import Layer

__all__ = ["Inspection", "inspect"]


@dataclasses.dataclass(frozen=True)
class Inspection:
    """The result of `inspect`.

    Attributes:
        inputs: Each input as `name: type[shape]`.
        outputs: Output name to what it is taken for.
        opset: The version of the standard operators.
        params: Constant elements of the whole model.
        target_params: Those that belong to targets.
        bytes: Size of the serialized model.
        macs: Multiplications of one sample; None where the model could not be run on zeros.
        counted_on: Input name to the shape of the zeros on which they were counted, a batch of
            which counts as its samples.
        batched: Whether samples can be batched along axis 0.
        layers: Every linear operator, and every other node with a large constant.
        outlook: What a few budgets would leave of it.
        history: What made the model, if this tool did: version and options.
        channels: Groups of channels between operators (see `report.channel_rows`).
        caches: The inputs and outputs of a decoder that hold caches.
        deployment: The model as a device sees it; None where none is named.
    """

    inputs: list[str]
    outputs: dict[str, str]
    opset: int
    params: int
    target_params: int
    bytes: int
    macs: int | None
    batched: bool
    layers: list[Layer]
    counted_on: dict[str, list[int]] = dataclasses.field(default_factory=dict)
    outlook: list[Outlook] = dataclasses.field(default_factory=list)
    history: dict[str, str] = dataclasses.field(default_factory=dict)
    channels: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    caches: list[str] = dataclasses.field(default_factory=list)
    deployment: Lint | None = None

    def as_dict(self) -> dict[str, Any]:
        """The findings as plain data."""
        return dataclasses.asdict(self)


def inspect(
    model: model_io.Model, *, custom_ops: Sequence[str] = (), deploy_to: str | None = None
) -> Inspection:
    """Finds what is factorizable in a model, without calibration data.

    Arithmetic is counted on zeros, with open axes of length 64 and one sample.

    Args:
        model: The model.
        custom_ops: Libraries of operators of the user's own, as onnxruntime loads them.
        deploy_to: A device that the model is looked at for, as `--deploy-to` calls it.

    Raises:
        InputError: The model, or a library, cannot be read, or there is no such device.
    """
    device = None if deploy_to is None else device_named(deploy_to)
    runtime = OnnxRuntime(custom_ops=tuple(custom_ops))
    dense = model_io.load(model)
    signature = Signature.of(dense)
    fills = signature.fills.names
    signature = signature.lacking({s.name for s in signature.inputs if s.name not in fills})
    feeds = zeros(signature)
    normal = dense.clone()
    LiftWeights()(normal)
    finder = FindTargets()
    finder(normal)
    others = FindConstants(finder)
    others(normal)
    channels = channel_rows(*find_narrowings(normal, finder.targets))
    seen = None if device is None else lint(device, dense, finder.targets, signature)
    kept = {} if seen is None else seen.kept
    # Last, for it changes the graph: another copy would take as long as all that was found in it.
    arithmetic = _arithmetic_on(feeds, dense, normal, signature, runtime)
    nodes = arithmetic.nodes if arithmetic is not None else {}
    layers = [
        _target(target, use, nodes.get(use.name), kept.get(use.name))
        for target, use in _uses(finder.targets)
    ]
    layers += [_skipped(skip) for skip in (*finder.skipped, *others.skipped)]
    params, size = model_io.parameters(dense), _size(dense)
    costs = Costs(params, size, arithmetic or Arithmetic(0, {}))
    return Inspection(
        inputs=[f"{spec.name}: {spec.describe()}" for spec in signature.inputs],
        outputs={name: kind.kind for name, kind in recognized(dense).items()},
        opset=dense.opset_imports.get("", 0),
        params=params,
        target_params=sum(target.params for target in finder.targets),
        bytes=size,
        macs=arithmetic.total if arithmetic is not None else None,
        batched=signature.batched,
        layers=layers,
        counted_on={}
        if arithmetic is None
        else {name: list(array.shape) for name, array in feeds.items()},
        outlook=outlook(
            costs,
            [each for each in finder.targets if not any(use.name in kept for use in each.uses)],
            counted=arithmetic is not None,
            deploy_to=deploy_to,
        ),
        history=history(dense),
        channels=channels,
        caches=cached_values(dense),
        deployment=seen,
    )


def _uses(targets: Sequence[Target]) -> Iterator[tuple[Target, Target]]:
    """Yields each target with every operator that reads its weight, itself first."""
    for target in targets:
        yield from ((target, use) for use in target.uses)


def _target(target: Target, use: Target, macs: int | None, kept: str | None) -> Layer:
    """An operator that may be factorized; the parameters are of the first that reads a weight.

    Args:
        target: The first.
        use: The operator.
        macs: Its multiplications.
        kept: The reason why it stays dense all the same.
    """
    return Layer(
        name=use.name,
        op_type=use.op_type,
        form=title_of(use) if kept is None else None,
        rank=None,
        full_rank=target.full_rank,
        params=(target.params, target.params) if use is target else (0, 0),
        macs=None if macs is None else (macs, macs),
        loss=None,
        status="kept",
        reason=kept or (None if use is target else f"shares the weight of '{target.name}'"),
        module=use.module,
    )


def _size(dense: ir.Model) -> int:
    """Bytes of its files."""
    beside = next(model_io.external_tensors(dense), None)
    return serialized_size(dense, None if beside is None else str(beside.location))


def _skipped(skip: Skipped) -> Layer:
    """An operator that is no target; the form and the rank of one that was factorized before."""
    layer = Layer.skipped(skip)
    if skip.provenance is not None:
        layer.form, layer.rank = skip.provenance.form, skip.provenance.rank
        layer.full_rank = skip.provenance.full_rank
    return layer


def _arithmetic_on(
    feeds: dict[str, npt.NDArray[Any]],
    model: ir.Model,
    lifted: ir.Model,
    signature: Signature,
    runtime: Runtime,
) -> Arithmetic | None:
    try:
        return count_arithmetic(model, feeds, runtime, signature.batch or 1, lifted)
    except InputError:
        # Zeros are no valid input of some models; then the arithmetic stays unknown.
        return None
