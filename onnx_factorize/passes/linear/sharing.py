"""Weights that several operators read: whether all of them can read the same factors."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import ParamSpec, TypeVar

import onnx_ir as ir

from .registry import spec_of

__all__ = ["asked_once", "refuse_sharing", "variable_values"]

_Result = TypeVar("_Result")
_Arguments = ParamSpec("_Arguments")

# Answers that were given while a pass runs.
_ANSWERS: ContextVar[dict[ir.Value, str | None] | None] = ContextVar("answers", default=None)

# Values found meanwhile to be computed from what is no constant.
_VARIABLE: ContextVar[set[ir.Value] | None] = ContextVar("variable", default=None)


def asked_once(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """Decorates a pass that asks of every reader of a weight: only the first answer is looked for.

    A pass may take readers away meanwhile, but only those that can read the factors, which changes
    no answer.
    """

    @functools.wraps(function)
    def asking(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
        answers, variable = _ANSWERS.set({}), _VARIABLE.set(set())
        try:
            return function(*args, **kwargs)
        finally:
            _ANSWERS.reset(answers)
            _VARIABLE.reset(variable)

    return asking


def variable_values() -> set[ir.Value]:
    """The values known not to be constant, to which more may be added; none outside a pass."""
    known = _VARIABLE.get()
    return set() if known is None else known


def refuse_sharing(root: ir.Value) -> str | None:
    """The reason why not all operators that read a constant can read its factors, or None.

    Each must be an operator that shares (see `Sharing`) and reads the constant as its weight, as it
    is or transposed: then factors of the constant are factors of every one of them. A reader of
    another kind would keep the dense constant in the model.
    """
    answers = _ANSWERS.get()
    if answers is None:
        return _refuse(root)
    if root not in answers:
        answers[root] = _refuse(root)
    return answers[root]


def _refuse(root: ir.Value) -> str | None:
    readers = list(_readers(root))
    count = f"its weight '{root.name}' is shared by {len(readers)} nodes"
    kinds, seen = set(), set()
    for node, index, turned in readers:
        called = f"'{node.name}'" if node.name else f"a node without a name ({node.op_type})"
        spec = spec_of(node)
        sharing = None if spec is None else spec.sharing
        if sharing is None or sharing.index != index:
            return f"{count}, of which {called} cannot read its factors"
        if sharing.scales(node):
            return f"{count}, of which {called} scales it"
        if turned and not sharing.transposed:
            return f"{count}, of which {called} reads it transposed"
        kinds.add(node.op_type if sharing.apart else "")
        seen |= {turned} if sharing.alike else set()
        if len(seen) > 1:
            return f"{count}, of which {called} reads it transposed, and another embedding as it is"
    if len(kinds) > 1:
        return f"{count}, of operators that read it in different ways"
    return None


def _readers(value: ir.Value, turned: bool = False) -> Iterator[tuple[ir.Node, int, bool]]:
    """Yields what reads a constant: the node, its input, and whether it sees the transpose."""
    if value.is_graph_output():
        yield ir.node("Identity", [], name=f"output {value.name}"), -1, turned
    # A transposition that nobody reads keeps the dense weight in the model all the same.
    dead = value.producer()
    if dead is not None and not value.uses():
        yield dead, -1, turned
    for node, index in value.uses():
        if node.domain == "" and node.op_type == "Identity":
            yield from _readers(node.outputs[0], turned)
        elif node.domain == "" and node.op_type == "Transpose":
            swaps = tuple(node.attributes.get_ints("perm", (1, 0))) == (1, 0)
            yield from _readers(node.outputs[0], not turned) if swaps else [(node, -1, turned)]
        else:
            yield node, index, turned
