"""Choice of the constants that are trained, and the names of their Parameters."""

from __future__ import annotations

import keyword

import onnx_ir as ir
from torch import nn

from ..passes.linear.provenance import origin_name, provenance_of
from .constants import content

__all__ = ["is_fine_tuned", "is_trainable", "parameter_path"]

# Inputs that are no weights: by operator, the first of them.
_SETTINGS = {
    "BatchNormalization": 3,
    "Clip": 1,
    "DequantizeLinear": 1,
    "Dropout": 1,
    "NonMaxSuppression": 2,
    "OneHot": 2,
    "Pad": 2,
    "QuantizeLinear": 1,
    "Resize": 1,
    "Upsample": 1,
}

# Elements from which a table of rows is large: its step takes milliseconds.
_LARGE_TABLE = 2**20


def is_trainable(value: ir.Value) -> bool:
    """Tells whether a floating-point constant is trained by default (see `to_torch`)."""
    if content(value).size <= 1 or _fills_a_place(value):
        return False
    return not any(
        use.node.op_type in _SETTINGS and use.idx >= _SETTINGS[use.node.op_type]
        for use in value.uses()
    )


def _fills_a_place(value: ir.Value) -> bool:
    """Tells whether a constant is the zero that a chain's first Gemm adds: see `RewriteGemm`."""
    uses = value.uses()
    return bool(uses) and all(
        use.node.op_type == "Gemm"
        and use.idx == 2
        and origin_name(use.node) is not None
        and provenance_of(use.node) is None
        for use in uses
    )


def is_fine_tuned(value: ir.Value) -> bool:
    """Tells whether a floating-point constant is trained by `--finetune`.

    Large tables in which rows are looked up, and that were not cut, stay as they are: few of their
    rows come up in a batch, and a step of all of them takes longer than much of a small encoder.
    """
    return is_trainable(value) and not _is_large_table(value)


def _is_large_table(value: ir.Value) -> bool:
    """Tells whether a constant is a large matrix that nodes of the dense model read rows of."""
    tensor, uses = content(value), value.uses()
    if tensor.size < _LARGE_TABLE or len(tensor.shape) != 2 or value.is_graph_output():
        return False
    return bool(uses) and all(
        use.idx == 0
        and use.node.op_type == "Gather"
        and use.node.domain in ("", "ai.onnx")
        and use.node.attributes.get_int("axis", 0) in (0, -2)
        and origin_name(use.node) is None
        for use in uses
    )


def parameter_path(module: nn.Module, name: str, number: int) -> str:
    """The path of an initializer's Parameter below a module: its own name, if torch takes it.

    A dot in a name is a step into a submodule, as in any torch module; those are made here. What
    cannot be such a path (because of an empty part, or because a part of it is taken) becomes
    `renamed.N`.
    """
    path = name if _fits(module, name) else f"renamed.{number}"
    owner = module
    for part in path.split(".")[:-1]:
        if not hasattr(owner, part):
            owner.add_module(part, nn.Module())
        owner = owner.get_submodule(part)
    return path


def _fits(module: nn.Module, name: str) -> bool:
    *parts, leaf = name.split(".")
    if not leaf or not all(parts) or parts[:1] == ["renamed"] or keyword.iskeyword(leaf):
        return False
    owner = module
    for part in parts:
        child = getattr(owner, part, None)
        if child is None:
            return not hasattr(owner, part)
        if not isinstance(child, nn.Module):
            return False
        owner = child
    return not hasattr(owner, leaf)
