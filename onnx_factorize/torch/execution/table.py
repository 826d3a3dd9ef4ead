"""The registry of ONNX operators as torch functions."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Collection
from typing import Any, Literal, TypeVar

from ...graph.registry import Registry
from .errors import Unsupported

__all__ = ["OPERATORS", "Operator", "Unsigned", "operator"]

Function = TypeVar("Function", bound=Callable[..., Any])

Unsigned = Literal["native", "wide", "read", "bits"]
"""An operator's treatment of unsigned integers of 16 bits and more, which torch only stores:
as they are; as int64, the result cut back ("wide") or not ("read"); or as signed integers of the
same bits."""


@dataclasses.dataclass(frozen=True)
class Operator:
    """One implementation of an operator.

    Its inputs are positional, None where absent; attributes are keywords of the same name (with
    an underscore behind it where Python has the name already).

    Attributes:
        name: The operator.
        since: The first opset whose semantics it has.
        function: Returns a value, or a tuple of values.
        unsigned: See `Unsigned`.
        attributes: Attribute name to the function's keyword.
        takes_call: Whether it wants the `Call` as its keyword `call`.
        host: Inputs whose elements it reads, as shapes and bounds: they stay on the CPU.
    """

    name: str
    since: int
    function: Callable[..., Any]
    unsigned: Unsigned
    attributes: dict[str, str]
    takes_call: bool
    host: frozenset[int]

    def check(self, attributes: dict[str, Any]) -> dict[str, Any]:
        """Renames attributes to keywords.

        Raises:
            Unsupported: One of them has no meaning here.
        """
        unknown = attributes.keys() - self.attributes.keys() - _IGNORED
        if unknown:
            raise Unsupported(f"its attribute '{min(unknown)}' is not known at this opset")
        return {
            self.attributes[name]: value
            for name, value in attributes.items()
            if name in self.attributes
        }


_IGNORED = {"consumed_inputs"}  # a hint of opset 1

OPERATORS = Registry[Operator]()


def operator(
    *names: str,
    since: int = 1,
    domain: str = "",
    unsigned: Unsigned = "native",
    host: Collection[int] = (),
) -> Callable[[Function], Function]:
    """Registers a function for operators of a domain, from an opset on.

    Args:
        names: The operators.
        since: The first opset whose semantics the function has. Of several functions of an
            operator, the newest not above the graph's opset is taken.
        domain: The operators' domain.
        unsigned: How it treats unsigned integers.
        host: Inputs whose elements it reads.
    """

    def register(function: Function) -> Function:
        keywords = {
            name
            for name, parameter in inspect.signature(function).parameters.items()
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY
        }
        attributes = {name.removesuffix("_"): name for name in keywords - {"call"}}
        for name in names:
            entry = Operator(
                name, since, function, unsigned, attributes, "call" in keywords, frozenset(host)
            )
            OPERATORS.add(entry, name, since=since, domain=domain)
        return function

    return register
