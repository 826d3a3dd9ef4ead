"""The view that a body has of the node that it stands for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnx_factorize.passes.adjoint.emission.emit import Emitter
from onnx_factorize.passes.adjoint.emission.errors import NoRuleError
from onnx_factorize.passes.adjoint.emission.facts import Facts


class Call:
    """One node of a fused operator: its arguments, its attributes, and what is certain of them.

    Attributes:
        node: The node.
        e: Emits the body's nodes.
    """

    def __init__(
        self, node: ir.Node, e: Emitter, facts: Facts, arguments: Sequence[ir.Value | None]
    ) -> None:
        self.node = node
        self.e = e
        self._facts = facts
        self._arguments = arguments

    # Arguments.

    def maybe(self, index: int) -> ir.Value | None:
        """Return an argument, or None if it is absent."""
        return self._arguments[index] if index < len(self._arguments) else None

    def x(self, index: int = 0) -> ir.Value:
        """Return an argument that must be present.

        Raises:
            NoRuleError: It is absent.
        """
        value = self.maybe(index)
        if value is None:
            raise NoRuleError(f"input {index} is absent")
        return value

    def refuse_inputs(self, **indices: int) -> None:
        """Refuse if one of these inputs is present.

        Raises:
            NoRuleError: It is.
        """
        for name, index in indices.items():
            if self.maybe(index) is not None:
                raise NoRuleError(f"no body for its input {name!r}")

    def wants(self, index: int) -> bool:
        """Tell whether the node has an output."""
        return index < len(self.node.outputs) and bool(self.node.outputs[index].name)

    # Attributes.

    def integer(self, name: str, default: int) -> int:
        """Return an integer attribute."""
        return int(self.node.attributes.get_int(name, default))

    def number(self, name: str, default: float) -> float:
        """Return a float attribute."""
        return float(self.node.attributes.get_float(name, default))

    def string(self, name: str, default: str) -> str:
        """Return a string attribute."""
        return str(self.node.attributes.get_string(name, default))

    def refuse_attributes(self, **usual: float | str) -> None:
        """Refuse if one of these attributes is not what it usually is.

        Raises:
            NoRuleError: It is not.
        """
        for name, value in usual.items():
            attribute = self.node.attributes.get(name)
            if attribute is not None and attribute.value != value:
                raise NoRuleError(f"no body for {name} = {attribute.value}")

    # Facts.

    def rank(self, index: int) -> int:
        """Return an argument's rank, or refuse."""
        return self._facts.rank(self._outer(index))

    def static(self, index: int, axis: int) -> int | None:
        """Return a dimension of an argument, if it is static."""
        return self._facts.static(self._outer(index), axis)

    def array(self, index: int) -> npt.NDArray[np.generic] | None:
        """Return the contents of an argument if it is constant."""
        return self._facts.array(self._outer(index))

    def _outer(self, index: int) -> ir.Value:
        self.x(index)
        value = self.node.inputs[index]
        assert value is not None
        return value

    @property
    def dtype(self) -> ir.DataType:
        """The element type of the first argument."""
        return self.x().dtype or ir.DataType.FLOAT

    def scalar(self, number: float) -> ir.Value:
        """Return a scalar constant of the first argument's type."""
        return self.e.constant(np.float64(number), self.dtype)
