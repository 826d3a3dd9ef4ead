"""The view that a rule has of the node that it differentiates."""

from __future__ import annotations

from collections.abc import Container, Sequence

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from onnx_factorize.passes.adjoint.emission.emit import Emitter
from onnx_factorize.passes.adjoint.emission.errors import NoRuleError
from onnx_factorize.passes.adjoint.emission.facts import Facts
from onnx_factorize.passes.adjoint.emission.operands import Operands


class Step(Operands):
    """One node under differentiation: its values, attributes, and cotangents of its outputs.

    Attributes:
        node: The primal node.
        e: Emits the adjoint's nodes.
        facts: What is certain about primal values.
        cotangents: The outputs' cotangents; None where zero.
    """

    def __init__(
        self,
        node: ir.Node,
        e: Emitter,
        facts: Facts,
        cotangents: Sequence[ir.Value | None],
        needed: Container[ir.Value],
        wanted: Container[ir.Value],
    ) -> None:
        super().__init__(node.inputs)
        self.node = node
        self.e = e
        self.facts = facts
        self.cotangents = cotangents
        self._needed = needed
        self.wanted = wanted

    @property
    def g(self) -> ir.Value:
        """The first output's cotangent.

        Raises:
            NoRuleError: Only another output has one.
        """
        if self.cotangents[0] is None:
            raise NoRuleError("no rule for a gradient through its secondary outputs")
        return self.cotangents[0]

    def only_first(self) -> ir.Value:
        """Return the first output's cotangent, refusing if another output has one.

        Raises:
            NoRuleError: Another output has a cotangent.
        """
        if any(g is not None for g in self.cotangents[1:]):
            raise NoRuleError("no rule for a gradient through its secondary outputs")
        return self.g

    @property
    def y(self) -> ir.Value:
        """The first output."""
        return self.node.outputs[0]

    def needs(self, index: int) -> bool:
        """Tell whether an input's cotangent is needed."""
        value = self.maybe(index)
        return value is not None and value in self._needed

    def refuse_gradient(self, *indices: int) -> None:
        """Refuse if the cotangent of one of these inputs is needed.

        Raises:
            NoRuleError: It is.
        """
        for index in indices:
            if self.needs(index):
                raise NoRuleError(f"no rule for its input {index}")

    # Attributes.

    def integer(self, name: str, default: int) -> int:
        """Return an integer attribute."""
        attr = self.node.attributes.get(name)
        return default if attr is None else attr.as_int()

    def number(self, name: str, default: float) -> float:
        """Return a float attribute."""
        attr = self.node.attributes.get(name)
        return default if attr is None else attr.as_float()

    def integers(self, name: str) -> list[int] | None:
        """Return a list attribute."""
        attr = self.node.attributes.get(name)
        return None if attr is None else list(attr.as_ints())

    def string(self, name: str, default: str) -> str:
        """Return a string attribute."""
        attr = self.node.attributes.get(name)
        return default if attr is None else attr.as_string()

    # Facts.

    def rank(self, value: ir.Value) -> int:
        """Return a value's rank, or refuse."""
        return self.facts.rank(value)

    def axis(self, name: str, default: int, value: ir.Value) -> int:
        """Return an axis attribute as a non-negative number."""
        axis = self.integer(name, default)
        return axis if axis >= 0 else axis + self.rank(value)

    def array(self, index: int) -> npt.NDArray[np.generic] | None:
        """Return the contents of an input if it is constant."""
        return self.facts.array(self.maybe(index))

    def axes(self, index: int, value: ir.Value) -> list[int] | None:
        """Return axes given as an attribute, or as a constant input; None if absent.

        Raises:
            NoRuleError: They are computed at run time.
        """
        axes = self.integers("axes")
        if axes is None and self.maybe(index) is not None:
            array = self.array(index)
            if array is None:
                raise NoRuleError("axes computed at run time")
            axes = [int(i) for i in array.reshape(-1)]
        if axes is None:
            return None
        if min(axes, default=0) >= 0:
            return sorted(axes)
        return sorted(axis % self.rank(value) for axis in axes)

    @property
    def dtype(self) -> ir.DataType:
        """The element type of the first output (float32 where inference could not tell)."""
        return self.facts.dtype(self.y) or self.facts.dtype(self.x()) or ir.DataType.FLOAT

    def scalar(self, number: float) -> ir.Value:
        """Return a scalar constant of the output's type."""
        return self.e.constant(np.float64(number), self.dtype)

    def unbroadcast(self, g: ir.Value, x: ir.Value, y: ir.Value | None = None) -> ir.Value:
        """Sum a cotangent of ``y`` (the first output) over the axes along which ``x`` was expanded.

        Axes that are certain are summed statically. If some are not, the axes that differ are found
        at run time. Below opset 13 axes must be static: there an axis of size n in ``y`` and m in
        ``x`` (m is n or 1) is viewed as [n / m, m] and summed over n / m, right in either case.
        """
        e, y = self.e, y or self.y
        if self.facts.same_shape(x, y):
            return g
        if x not in self.facts.dims or y not in self.facts.dims:
            return self._unbroadcast_at_run_time(g, x, y)
        rank_y, rank_x = self.rank(y), self.rank(x)
        extra = rank_y - rank_x
        dims_y, dims_x = self.facts.dims[y], self.facts.dims[x]
        ones = [i + extra for i in range(rank_x) if dims_x[i] == 1 and dims_y[i + extra] != 1]
        unsure = {i + extra for i in range(rank_x) if dims_x[i] not in (1, dims_y[i + extra])}
        if not unsure:
            g = e.reduce_sum(g, ones, keepdims=True) if ones else g
            return e.reduce_sum(g, list(range(extra)), keepdims=False)
        if e.opset >= 13:
            return self._unbroadcast_at_run_time(g, x, y)
        shape_y, shape_x = e.shape(y), e.shape(x)
        view: list[ir.Value] = []
        summed: list[int] = []
        for axis in range(rank_y):
            size = e.op("Gather", shape_y, e.ints([axis]), axis=0)
            if axis < extra or axis in ones:
                summed.append(len(view))
                view.append(size)
            elif axis in unsure:
                part = e.op("Gather", shape_x, e.ints([axis - extra]), axis=0)
                summed.append(len(view))
                view += [e.div(size, part), part]
            else:
                view.append(size)
        g = e.reduce_sum(e.reshape(g, e.concat(view, 0)), summed, keepdims=False)
        return e.reshape(g, shape_x)

    def _unbroadcast_at_run_time(self, g: ir.Value, x: ir.Value, y: ir.Value) -> ir.Value:
        e = self.e
        e.needs(13, "a broadcast of unknown rank")
        shape_y, shape_x = e.shape(y), e.shape(x)
        rank_y, rank_x = (self.facts.rank_or_none(v) for v in (y, x))
        padded = shape_x
        if rank_y is None or rank_x is None:
            missing = e.sub(e.shape(shape_y), e.shape(shape_x))
            one = ir.Tensor(np.ones(1, np.int64))
            padded = e.concat([e.op("ConstantOfShape", missing, value=one), shape_x], 0)
        elif rank_y > rank_x:
            padded = e.concat([e.ints([1] * (rank_y - rank_x)), shape_x], 0)
        differ = e.op("Not", e.op("Equal", shape_y, padded))
        axes = e.squeeze(e.op("NonZero", differ), [0])
        g = e.op("ReduceSum", g, axes, keepdims=1, noop_with_empty_axes=1)
        return g if rank_y is not None and rank_y == rank_x else e.reshape(g, shape_x)
