"""The registry of bodies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import onnx_ir as ir

from onnx_factorize.graph.registry import Registry
from onnx_factorize.passes.adjoint.bodies.call import Call

MICROSOFT = "com.microsoft"

Outputs: TypeAlias = Sequence[ir.Value | None]
"""The outputs in order; one that is None, or missing at the end, has no gradient."""

Body: TypeAlias = Callable[[Call], Outputs]

BODIES = Registry[Body]()


def body(*op_types: str, domain: str = MICROSOFT) -> Callable[[Body], Body]:
    """Register a body for operators of a domain."""

    def register(function: Body) -> Body:
        BODIES.add(function, *op_types, domain=domain)
        return function

    return register
