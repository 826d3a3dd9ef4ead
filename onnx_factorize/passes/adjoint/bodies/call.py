"""The view that a body has of the node that it stands for."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx_ir as ir

from onnx_factorize.graph.builder import Attribute
from onnx_factorize.passes.adjoint.emission.emit import Emitter
from onnx_factorize.passes.adjoint.emission.errors import NoRuleError
from onnx_factorize.passes.adjoint.emission.operands import Operands


@dataclasses.dataclass(frozen=True)
class Argument:
    """The type and shape of an input, as far as they are certain.

    Attributes:
        dtype: Its element type.
        dims: Its static dimensions, None in the place of others; None where its rank is unknown.
    """

    dtype: ir.DataType
    dims: tuple[int | None, ...] | None


@dataclasses.dataclass(frozen=True)
class Signature:
    """All of a node that its body depends on.

    Attributes:
        domain: The operator's domain.
        op_type: The operator.
        attributes: Names and values, in order.
        inputs: What is known of each; None where it is absent.
        outputs: Whether each is wanted.
        opset: The opset of the standard operators.
    """

    domain: str
    op_type: str
    attributes: tuple[tuple[str, object], ...]
    inputs: tuple[Argument | None, ...]
    outputs: tuple[bool, ...]
    opset: int


class Call(Operands):
    """One node of a fused operator: its arguments, its attributes, and what is certain of them.

    Attributes:
        e: Emits the body's nodes.
        arguments: Stand-ins for the inputs.
    """

    def __init__(self, signature: Signature, e: Emitter) -> None:
        self.e = e
        self._signature = signature
        self._attributes = dict(signature.attributes)
        self.arguments = [
            None
            if argument is None
            else ir.Value(
                name=f"input_{i}",
                type=ir.TensorType(argument.dtype),
                shape=None if argument.dims is None else ir.Shape(argument.dims),
            )
            for i, argument in enumerate(signature.inputs)
        ]
        super().__init__(self.arguments)

    # Arguments.

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
        outputs = self._signature.outputs
        return index < len(outputs) and outputs[index]

    # Attributes.

    def integer(self, name: str, default: int) -> int:
        """Return an integer attribute."""
        value = self._attributes.get(name, default)
        assert isinstance(value, int)
        return value

    def integers(self, name: str) -> tuple[int, ...]:
        """Return a list attribute, empty unless given."""
        value = self._attributes.get(name, ())
        assert isinstance(value, tuple)
        return value

    def numbers(self, name: str) -> tuple[float, ...]:
        """Return a list attribute of floats, empty unless given."""
        value = self._attributes.get(name, ())
        assert isinstance(value, tuple)
        return value

    def others(self, *names: str) -> dict[str, Attribute]:
        """Return all attributes but some."""
        return {
            name: value
            for name, value in self._attributes.items()
            if name not in names and isinstance(value, int | float | str | tuple)
        }

    def number(self, name: str, default: float) -> float:
        """Return a float attribute."""
        value = self._attributes.get(name, default)
        assert isinstance(value, float)
        return value

    def string(self, name: str, default: str) -> str:
        """Return a string attribute."""
        return str(self._attributes.get(name, default))

    def refuse_attributes(self, **usual: float | str) -> None:
        """Refuse if one of these attributes is not what it usually is.

        Raises:
            NoRuleError: It is not.
        """
        for name, value in usual.items():
            given = self._attributes.get(name, value)
            if given != value:
                raise NoRuleError(f"no body for {name} = {given}")

    # Facts.

    def rank(self, index: int) -> int:
        """Return an argument's rank.

        Raises:
            NoRuleError: It is unknown.
        """
        shape = self.x(index).shape
        if shape is None:
            raise NoRuleError(f"the rank of its input {index} is unknown")
        return len(shape)

    def static(self, index: int, axis: int) -> int | None:
        """Return a dimension of an argument, if it is static."""
        shape = self.x(index).shape
        dim = None if shape is None else shape[axis]
        return dim if isinstance(dim, int) else None

    @property
    def dtype(self) -> ir.DataType:
        """The element type of the first argument."""
        return self.x().dtype or ir.DataType.FLOAT

    def scalar(self, number: float) -> ir.Value:
        """Return a scalar constant of the first argument's type."""
        return self.e.constant(np.float64(number), self.dtype)
