"""What a device that a model is for finds wrong with it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import onnx_ir as ir

from ..calibration import Signature
from ..deployment import Device, kinds_of
from ..errors import named
from ..passes import Target
from ..preparation.kept_from import kept_from

__all__ = ["Finding", "Lint", "lint"]

# Nodes or inputs that a sentence names.
_NAMED = 4


@dataclasses.dataclass(frozen=True)
class Finding:
    """Something that a device does not take, or is slow with.

    Attributes:
        about: `opset`, `open axes`, `domain`, or the kind of nodes.
        said: The sentence.
        names: Of the nodes, or inputs.
    """

    about: str
    said: str
    names: list[str]


@dataclasses.dataclass(frozen=True)
class Lint:
    """A model as a device sees it.

    Attributes:
        device: The device's name.
        title: As sentences call it.
        rank_multiple: What `--rank-multiple` is a multiple of, if left open.
        forms: What `--form auto` may choose from; None for all.
        identity_blocks: Whether `--factors auto` may write identity blocks.
        kept: Name of each operator that stays dense there, and the reason.
        findings: What the device does not take, or is slow with.
    """

    device: str
    title: str
    rank_multiple: int
    forms: list[str] | None
    identity_blocks: bool
    kept: dict[str, str]
    findings: list[Finding]

    def as_dict(self) -> dict[str, Any]:
        """The findings as plain data."""
        return dataclasses.asdict(self)

    @property
    def settings(self) -> str:
        """What the device settles, as half a sentence."""
        said = []
        if self.rank_multiple > 1:
            said.append(f"ranks go in multiples of {self.rank_multiple}")
        if self.forms is not None:
            said.append(f"convolutions are cut as {', '.join(self.forms)}")
        if not self.identity_blocks:
            said.append("factors are written as pairs")
        if self.kept:
            operators = "one operator stays" if len(self.kept) == 1 else f"{len(self.kept)} stay"
            said.append(f"{operators} dense")
        return ", ".join(said) or "nothing is settled that is not by default"


def lint(device: Device, model: ir.Model, targets: Sequence[Target], signature: Signature) -> Lint:
    """Looks at a model with the eyes of a device.

    Args:
        device: The device.
        model: The model as the user has it.
        targets: Its targets.
        signature: Its inputs.
    """
    kept = {
        use.name: reason
        for target in targets
        for use in target.uses
        if (reason := kept_from(device, use)) is not None
    }
    return Lint(
        device.name,
        device.title,
        device.rank_multiple,
        None if device.forms is None else list(device.forms),
        device.identity_blocks,
        kept,
        [
            *_of_opset(device, model),
            *_of_axes(device, signature),
            *_of_nodes(device, model),
        ],
    )


def _of_opset(device: Device, model: ir.Model) -> Iterator[Finding]:
    """Says where the operators' version is none that the device takes."""
    opset = model.opset_imports.get("", 0)
    if device.newest is not None and opset > device.newest:
        said = f"opset {opset} is above {device.newest}, the newest that {device.title} is known "
        yield Finding("opset", f"{said}to take: export to that, or check your version", [])
    if device.oldest is not None and 0 < opset < device.oldest:
        said = f"opset {opset} is below {device.oldest}, the oldest that {device.title} takes"
        yield Finding("opset", f"{said}: convert it (onnx.version_converter)", [])


def _of_axes(device: Device, signature: Signature) -> Iterator[Finding]:
    """Says which inputs have axes of any length, where that is a matter."""
    specs = (spec for spec in signature.inputs if spec.dims is not None)
    names = [s.name for s in specs if not all(isinstance(d, int) for d in s.dims or ())]
    if names and device.open_axes is not None:
        said = f"open axes of {named(names, _NAMED)} {device.open_axes}"
        yield Finding("open axes", said, names)


def _of_nodes(device: Device, model: ir.Model) -> Iterator[Finding]:
    """Says which nodes the device does not run, by their kind."""
    refused: dict[str, list[str]] = {}
    foreign: dict[str, list[str]] = {}
    own = {function.domain for function in model.functions.values()}
    graphs = (model.graph, *(function.graph for function in model.functions.values()))
    for node in (node for graph in graphs for node in graph.all_nodes()):
        name = node.name or f"{node.op_type} of '{node.outputs[0].name}'"
        kind = next((kind for kind in kinds_of(node) if kind in device.refused), None)
        if kind is not None:
            refused.setdefault(kind, []).append(name)
        elif node.domain not in ("", "ai.onnx", *device.domains, *own):
            foreign.setdefault(node.domain, []).append(name)
    for kind, names in refused.items():
        yield Finding(kind, f"{kind} {device.refused[kind]}: {named(names, _NAMED)}", names)
    for domain, names in foreign.items():
        said = f"operators of {domain} are not known to run there: {named(names, _NAMED)}"
        yield Finding("domain", said, names)
