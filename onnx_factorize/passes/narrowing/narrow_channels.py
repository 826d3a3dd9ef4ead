"""Take channels out of a graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir

from ...arrays import AnyArray
from ...errors import InputError
from ...graph import Namer, constant, new_constant, opset, register
from ...graph.builder import before
from ..clean_up import CleanUp
from ..linear.site import rearranged
from ..normalize import LiftWeights
from .find_channels import Channels
from .group import Indices
from .mends import Constants, Mend
from .operand import Axis, Operand, Use
from .provenance import note
from .readable import MakePlain, followed, members
from .trace import Trace

__all__ = ["NarrowChannels"]


class NarrowChannels(ir.passes.InPlacePass):
    """Keeps some channels of groups, and takes the others out of every operator.

    - Weights, biases and the constants of what lies between lose the elements of the channels.
    - `group` of convolutions, constant shapes and declared shapes follow.
    - Weights that the graph computes, functions, and operators that are known in their plain form
      alone (Einsum, stacks of matrices), are made readable first.
    - Nothing else changes: operators, names and metadata stay. What else reads a constant that
      shrinks keeps the whole one; then the operator gets one of its own.
    - The operators that computed the channels are marked with those that they still compute.

    Operators beside the channels may have been factorized meanwhile: factors shrink as weights do.

    The result is what the model computes with zeros in the place of the readers' weights for
    channels that are gone.
    """

    def __init__(self, kept: Mapping[str, Indices]) -> None:
        """Initializes the pass.

        Args:
            kept: By the name of a group (see `FindChannels`), the channels that stay, in
                ascending order, at least one.
        """
        self._kept = {name: np.asarray(channels, np.int64) for name, channels in kept.items()}

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Runs the pass.

        Raises:
            InputError: The model has no such channels.
        """
        if not self._kept:
            return ir.passes.PassResult(model, modified=False)
        trace, groups = followed(model)
        for make_readable in (LiftWeights, MakePlain):
            missing = set(self._kept) - set(groups)
            if missing:
                make_readable(members(model, missing))(model)
                trace, groups = followed(model)
        narrowing = _Narrowing(trace)
        for name, kept in self._kept.items():
            group = groups.get(name)
            if group is None:
                raise InputError(f"The model has no channels '{name}' that can be narrowed.")
            if not len(kept) or kept[-1] >= group.width or (np.diff(kept) <= 0).any():
                raise InputError(
                    f"Keep some of the {group.width} channels of '{name}', in ascending order."
                )
            narrowing.drop(group, kept)
        narrowing.apply()
        return ir.passes.PassResult(model, modified=True)


class _Narrowing(Constants):
    """Elements that go, axis by axis, and the graph as it changes."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._names = Namer(trace.model)
        self._gone: dict[Axis, list[Indices]] = {}
        self._unread: list[ir.Value] = []

    def drop(self, group: Channels, kept: Indices) -> None:
        """Notes which elements go."""
        gone = np.setdiff1d(np.arange(group.width), kept)
        for axis, elements in group.elements.items() if len(gone) else ():
            self._gone.setdefault(axis, []).append(elements[gone].reshape(-1))

    def apply(self) -> None:
        """Changes the graph."""
        mends: list[Mend] = [*self._trace.freezes, *self._trace.mends]
        for mend in mends:
            if mend.axis in self._gone:
                mend(self)
        for node, axis in self._trace.producers.items():
            if axis in self._gone:
                note(node, axis.length, self.kept(axis))
        for axis in self._gone:
            holder = axis.holder
            if isinstance(holder, Use):
                self._slice(holder, axis)
            else:
                _declare(holder, axis, len(self.kept(axis)))
        CleanUp(only=self._unread)(self._trace.model)

    @property
    def opset(self) -> int:
        """The version of the standard operators."""
        return opset(self._trace.model)

    def kept(self, axis: Axis) -> Indices:
        """The indices along an axis that stay."""
        gone = self._gone.get(axis)
        every = np.arange(axis.length)
        return every if gone is None else np.setdiff1d(every, np.concatenate(gone))

    def read(self, use: Use) -> Indices:
        """The integers that an operator is given, as mended so far."""
        tensor, facts = constant(use.value), self._trace.facts
        if tensor is not None:
            return np.asarray(tensor.numpy())
        numbers = np.array(facts.ints[use.value], np.int64)
        return numbers.reshape(()) if facts.rank_or_none(use.value) == 0 else numbers

    def write(self, use: Use, contents: Indices) -> None:
        """Gives an operator a constant in the place of integers, which others may read still."""
        old = use.value
        dtype = self._trace.facts.dtype(old) or ir.DataType.INT64
        array = np.asarray(contents).astype(dtype.numpy())
        if constant(old) is not None and np.array_equal(self.read(use), array):
            return
        if _is_alone(old):
            old.const_value = ir.tensor(array, name=old.name)
            old.shape = ir.Shape(array.shape)
            return
        value = self._new(old, ir.tensor(array), use.node)
        use.node.replace_input_with(use.index, value)
        self._remove_unread(old)

    def alone(self, node: ir.Node, path: Sequence[int]) -> Use:
        """The end of a path of inputs, of which no operator serves others, too."""
        for index in path[:-1]:
            value = node.inputs[index]
            behind = None if value is None else value.producer()
            assert value is not None
            assert behind is not None
            if len(value.uses()) > 1 or value.is_graph_output():
                copy = ir.node(
                    behind.op_type,
                    list(behind.inputs),
                    dict(behind.attributes),
                    outputs=[ir.Value(name=self._names(f"{value.name}.narrow"), type=value.type)],
                    name=self._names(f"{behind.name}.narrow"),
                )
                before(node)(copy)
                node.replace_input_with(index, copy.outputs[0])
                behind = copy
            node = behind
        return Use(node, path[-1])

    def add(self, node: ir.Node, index: int, contents: Indices) -> None:
        """Gives an operator a constant of integers in place of an input that it lacks."""
        name = self._names(f"{node.outputs[0].name}.lengths")
        value = new_constant(name, np.asarray(contents, np.int64), ir.DataType.INT64)
        assert isinstance(node.graph, ir.Graph)
        register(self._trace.model, node.graph, value)
        node.resize_inputs(max(index + 1, len(node.inputs)))
        node.replace_input_with(index, value)

    def _slice(self, use: Use, axis: Axis) -> None:
        """Keeps what stays along an axis of a constant."""
        value, kept = self._own(use), self.kept(axis)
        assert value.const_value is not None
        shape = list(value.const_value.shape.numpy())
        shape[axis.axis] = len(kept)

        def change(array: AnyArray) -> AnyArray:
            return np.take(array, kept, axis=axis.axis)

        rearranged(value, change, shape)

    def _own(self, use: Use) -> ir.Value:
        """The initializer that an operator alone reads: a new one, where others read it too."""
        value = use.value
        if _is_alone(value):
            return value
        tensor = self._trace.tensor(Operand(use.node, use.index))
        assert tensor is not None
        new = self._new(value, tensor, use.node)
        use.node.replace_input_with(use.index, new)
        self._remove_unread(value)
        return new

    def _new(self, value: ir.Value, tensor: ir.TensorProtocol, node: ir.Node) -> ir.Value:
        """A constant for one operator, named after the value in whose place it is read."""
        shape, scope = ir.Shape(tensor.shape.numpy()), node.graph
        name = self._names(f"{value.name}.narrow")
        new = ir.Value(name=name, shape=shape, type=ir.TensorType(tensor.dtype))
        # Contents under a name of their own: a value gives its tensor its name.
        new.const_value = ir.LazyTensor(lambda: tensor, dtype=tensor.dtype, shape=shape)
        assert isinstance(scope, ir.Graph)
        register(self._trace.model, scope, new)
        return new

    def _remove_unread(self, value: ir.Value) -> None:
        """Removes what computes a value that nothing reads any more."""
        node = value.producer()
        outputs = [value] if node is None else node.outputs
        if any(each.uses() or each.is_graph_output() for each in outputs):
            return
        if node is None:
            self._unread.append(value)
            return
        behind = [each for each in node.inputs if each is not None]
        assert node.graph is not None
        node.graph.remove(node, safe=True)
        for each in behind:
            self._remove_unread(each)


def _is_alone(value: ir.Value) -> bool:
    """Tells whether a value is an initializer that one operator reads, and nothing else."""
    return value.is_initializer() and len(value.uses()) == 1 and not value.is_graph_output()


def _declare(value: ir.Value, axis: Axis, length: int) -> None:
    """Mends what is declared of a value."""
    if value.shape is None or len(value.shape) <= axis.axis:
        value.shape = None
        return
    sizes = list(value.shape)
    sizes[axis.axis] = length  # a name of it may be that of other lengths, which stay
    value.shape = ir.Shape(sizes)
