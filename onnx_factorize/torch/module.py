"""An ONNX graph as a torch module."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor, nn

from ..errors import InputError
from ..files.model_io import Model, load
from .build import Built, Constant, build
from .constants import content, named_constants
from .execution import dtypes
from .execution.program import Operation, State
from .parameters import is_trainable, parameter_path
from .prepare import prepared
from .run import Run

__all__ = ["GraphModule", "to_torch"]

# Integers that are as few as these describe shapes: they stay on the CPU, where they are read.
_FEW = 16


def to_torch(
    model: Model, trainable: Collection[str] | Callable[[ir.Value], bool] | None = None
) -> GraphModule:
    """Makes a torch module of a model.

    Args:
        model: A path, an `onnx.ModelProto` or an `onnx_ir.Model`, which is not changed.
        trainable: The constants that become Parameters: their names, or what decides about each
            initializer (or output of a Constant node). By default all floating-point tensors of
            more than one element, but for the statistics of batch normalisation, and for what
            says how to resample or to quantise.

    Returns:
        The module, on the CPU.

    Raises:
        InputError: `trainable` names something that is not a floating-point constant.
        UnsupportedError: A node cannot be run in torch.

    Example:
        >>> from onnx_factorize.torch import to_torch
        >>> module = to_torch("model.onnx", trainable=["w1"])
        >>> [(name, tuple(parameter.shape)) for name, parameter in module.named_parameters()]
        [('w1', (24, 32))]
    """
    source = load(model)
    candidates = _candidates(source)
    if trainable is None:
        chosen = {name for name, value in candidates.items() if is_trainable(value)}
    elif callable(trainable):
        chosen = {name for name, value in candidates.items() if trainable(value)}
    else:
        chosen = set(trainable)
        unknown = chosen - candidates.keys()
        if unknown:
            raise InputError(f"'{min(unknown)}' is not a floating-point constant of the model.")
    ready = prepared(source)
    return GraphModule(ready.graph, build(ready, chosen), chosen)


def _candidates(model: ir.Model) -> dict[str, ir.Value]:
    """Floating-point constants that are tensors of the model, by name."""
    found = {}
    for name, value in named_constants(model).items():
        node = value.producer()
        if node is not None and "value" not in node.attributes:
            continue
        kind = content(value).dtype
        if kind.is_floating_point() and kind not in dtypes.SMALL_FLOATS:
            found[name] = value
    return found


class GraphModule(nn.Module):
    """An ONNX graph as a module, made by `to_torch`.

    `forward` takes tensors in the order of the graph's inputs or by their names, and returns a
    dictionary of its outputs. Keys of `state_dict` are names of initializers. `double()` and the
    like change what all of the graph is computed in, its casts to floating types included.

    Attributes:
        input_names: Inputs that have no default, then those that have one.
        output_names: Outputs.
        initializers: Initializer name to the name of its Parameter; they are the same but for
            names that torch does not take.

    Example:
        >>> import torch
        >>> from onnx_factorize.torch import to_torch
        >>> module = to_torch("model.onnx")
        >>> module.input_names, module.output_names
        (['x'], ['y'])
        >>> module(torch.ones(2, 24))["y"].shape
        torch.Size([2, 6])
    """

    def __init__(self, graph: ir.Graph, built: Built, trainable: Collection[str]) -> None:
        super().__init__()
        self._program, self._fused, self._within = built.program, built.fused, built.within
        self._names = built.names
        self._floating: torch.dtype | None = None
        self._inputs = {
            value.name or "": slot
            for value, slot in zip(graph.inputs, built.program.inputs, strict=True)
        }
        self._output_types = {value.name or "": value.dtype for value in graph.outputs}
        self.output_names = list(self._output_types)
        self.initializers: dict[str, str] = {}
        self._parameter_slots: dict[int, str] = {}
        self._buffer_slots: dict[int, str] = {}
        self._fixed: dict[int, Any] = {}
        self.register_buffer("_anchor", torch.empty(0), persistent=False)
        defaults = {constant.slot for constant in built.constants}
        required = [name for name, slot in self._inputs.items() if slot not in defaults]
        self.input_names = required + [name for name in self._inputs if name not in required]
        self._required = set(required)
        for constant in built.constants:
            self._add(constant, constant.name in trainable)
        self.register_state_dict_post_hook(_to_initializer_names)  # type: ignore[no-untyped-call]  # torch's own
        self.register_load_state_dict_pre_hook(_to_parameter_names)  # type: ignore[no-untyped-call]  # torch's own

    def forward(self, *args: Tensor, **kwargs: Tensor) -> dict[str, Any]:
        """Runs the graph.

        Args:
            args: Inputs, in the order of `input_names`.
            kwargs: Inputs by name.

        Returns:
            Output name to tensor (a list for a sequence, None for an absent optional).

        Raises:
            InputError: An input is missing, unknown or given twice.
            UnsupportedError: A node refuses what it is given.
            ExecutionError: A node fails on what it is given.
        """
        if len(args) > len(self.input_names):
            raise InputError(f"The model has {len(self.input_names)} inputs, not {len(args)}.")
        feeds = dict(zip(self.input_names, args, strict=False))
        twice = feeds.keys() & kwargs.keys()
        if twice:
            raise InputError(f"Input '{min(twice)}' is given twice.")
        return self.run({**feeds, **kwargs}).outputs

    def run(
        self,
        feeds: Mapping[str, Any],
        capture: Collection[str] = (),
        observe: Callable[[Operation, Sequence[Any]], None] | None = None,
    ) -> Run:
        """Runs the graph, and keeps intermediate values.

        Args:
            feeds: Input name to tensor or numpy array.
            capture: Names of values to keep. Where gradients are enabled, each floating-point one
                is part of the autograd graph, even if nothing before it requires a gradient, so
                that `torch.autograd.grad(loss, captured)` works.
            observe: Called after each node with its step and its outputs.

        Raises:
            InputError: An input or a value to capture does not exist, or an input is missing.
            UnsupportedError: A node refuses what it is given.
            ExecutionError: A node fails on what it is given.
        """
        slots = self._slots_of(capture)
        device = self.device
        kept: dict[int, list[Any]] = {slot: [] for places in slots.values() for slot in places}
        state = State({}, device, self._floating, kept, observe)
        for slot, value in self._fixed.items():
            state.put(slot, value)
        for path_of in (self._parameter_slots, self._buffer_slots):
            for slot, path in path_of.items():
                state.put(slot, self._tensor(path))
        missing = self._required - feeds.keys()
        unknown = feeds.keys() - self._inputs.keys()
        if missing or unknown:
            problem = f"'{min(missing)}' is missing" if missing else f"'{min(unknown)}' is unknown"
            raise InputError(f"Input {problem}; the model's are {', '.join(self.input_names)}.")
        arguments = [
            self._fed(feeds[name]) if name in feeds else state.slots[slot]
            for name, slot in self._inputs.items()
        ]
        # Whoever looks at single nodes gets them; all others have what is faster.
        whole = observe is not None or not self._within.isdisjoint(kept)
        results = state.run(self._program if whole else self._fused, arguments)
        captured: dict[str, Any] = {}
        for name, places in slots.items():
            values = [value for slot in places for value in state.captured[slot]]
            captured[name] = values[0] if len(values) == 1 else values
        return Run(dict(zip(self.output_names, results, strict=True)), captured)

    @property
    def device(self) -> torch.device:
        """The device that it computes on."""
        anchor = self._anchor
        assert isinstance(anchor, Tensor)
        return anchor.device

    def name_of(self, slot: int) -> str:
        """The name of the value in a slot."""
        return self._names[slot]

    def numpy(self, outputs: Mapping[str, Any]) -> dict[str, Any]:
        """Outputs as numpy arrays of the types that the graph declares."""
        return {
            name: dtypes.to_numpy(value, self._output_types.get(name))
            for name, value in outputs.items()
        }

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> GraphModule:
        """Follows `double()`, `half()` and the like in what casts of the graph mean."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # torch's own
        kinds = {fn(torch.empty(0, dtype=kind)).dtype for kind in (torch.float32, torch.float64)}
        if len(kinds) == 1:
            (self._floating,) = kinds
        return self

    def _add(self, constant: Constant, trainable: bool) -> None:
        value = dtypes.from_numpy(constant.tensor.numpy())
        if trainable:
            path = parameter_path(self, constant.name, len(self.initializers))
            owner, _, leaf = path.rpartition(".")
            self.get_submodule(owner).register_parameter(leaf, nn.Parameter(value))
            self.initializers[constant.name] = path
            self._parameter_slots[constant.slot] = path
        elif isinstance(value, np.ndarray) or constant.host or _is_few(value):
            self._fixed[constant.slot] = value
        else:
            name = f"_constant_{constant.slot}"
            self.register_buffer(name, value, persistent=False)
            self._buffer_slots[constant.slot] = name

    def _tensor(self, path: str) -> Tensor:
        owner, _, leaf = path.rpartition(".")
        found = getattr(self.get_submodule(owner), leaf)
        assert isinstance(found, Tensor)
        return found

    def _fed(self, value: Any) -> Any:
        if value is None:
            return None
        if isinstance(value, list):
            return [self._fed(element) for element in value]
        if not isinstance(value, Tensor):
            value = dtypes.from_numpy(value)
        if isinstance(value, np.ndarray):
            return value
        if self._floating is not None and value.is_floating_point():
            value = value.to(self._floating)
        return value.to(self.device)

    def _slots_of(self, capture: Collection[str]) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {name: [] for name in capture}
        for slot, name in self._names.items():
            if name in found:
                found[name].append(slot)
        for name, slots in found.items():
            if not slots:
                raise InputError(f"'{name}' is not a value of the model.")
        return found


def _is_few(value: Tensor) -> bool:
    return not value.is_floating_point() and value.numel() <= _FEW


def _to_initializer_names(
    module: nn.Module, state: dict[str, Any], prefix: str, _metadata: object
) -> None:
    assert isinstance(module, GraphModule)
    for name, path in module.initializers.items():
        if name != path:
            state[prefix + name] = state.pop(prefix + path)


def _to_parameter_names(module: nn.Module, state: dict[str, Any], prefix: str, *_: object) -> None:
    assert isinstance(module, GraphModule)
    for name, path in module.initializers.items():
        if name != path and prefix + name in state:
            state[prefix + path] = state.pop(prefix + name)
