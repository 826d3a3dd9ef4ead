"""Names that are free."""

from __future__ import annotations

import onnx_ir as ir

from .walk import scopes

__all__ = ["Namer"]


class Namer:
    """Gives names that no value or node of the model has yet."""

    def __init__(self, model: ir.Model) -> None:
        self._taken: set[str | None] = set()
        self._counts: dict[str, int] = {}
        for scope, _ in scopes(model.graph):
            self._taken.update(value.name for value in scope.inputs)
            self._taken.update(scope.initializers)
            for node in scope:
                self._taken.add(node.name)
                self._taken.update(value.name for value in node.outputs)

    def __call__(self, wanted: str) -> str:
        """The wanted name, or the first of `wanted_1`, `wanted_2` … that is free."""
        name = wanted
        while name in self._taken:
            self._counts[wanted] = self._counts.get(wanted, 0) + 1
            name = f"{wanted}_{self._counts[wanted]}"
        self._taken.add(name)
        return name
