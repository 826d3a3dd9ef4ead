"""Weights of large models stay on disk: mapped into memory, and let go while the model runs."""

from __future__ import annotations

import contextlib
import mmap
import pathlib
import tempfile
import threading
import time
import weakref
from collections.abc import Iterable
from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime as ort

from ..arrays import AnyArray
from ..files.external import SharedTensor
from ..files.model_io import weight_bytes
from ..files.writing import scratch

__all__ = ["LARGE", "PagedModel", "keep", "let_go", "owned", "spill_large", "spill_values"]


# Models with more bytes of weights are run from mapped files: in memory a session would hold them
# two or three times.
LARGE = 1 << 28

# Weights of more bytes are let go while models run; fewer stay in memory, once for all models.
_PAGED = 1 << 30

# What is smaller stays where it is: weights that a session would map, and arrays that are kept.
_SMALL = 1 << 20
_TINY = 1 << 14

# Arrays that `keep` leaves in memory, together.
_IN_MEMORY = 1 << 28

# Bytes of small arrays that share a mapping, and what each begins at a multiple of.
_SHELVED = 1 << 24
_ALIGNED = 64

# How often mapped pages are let go. Reading weights at 4 GB/s, it leaves 200 MB of them resident;
# arrays that are kept are read at a fraction of that.
_SECONDS = 0.05
_KEPT_TURNS = 3

# Types of numpy's own; weights of others are left to onnxruntime.
_MAPPABLE = {ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.FLOAT16, ir.DataType.INT8}

# What rewrites weights when a graph is loaded reads them from the file where none are.
_REWRITE_WEIGHTS = [
    "AttentionFusion",
    "ConstantFolding",
    "ConvAddActivationFusion",  # fails to load what NchwcTransformer has not seen
    "ConvAddFusion",
    "ConvBNFusion",
    "ConvMulFusion",
    "MatMul_BatchNormalization_Fusion",
    "NchwcTransformer",
]

_DATA = "weights.data"


class _Pager:
    """Tells the system to let go of mapped pages; those needed again come back from its cache."""

    def __init__(self) -> None:
        self._maps: weakref.WeakSet[mmap.mmap] = weakref.WeakSet()
        self._kept: weakref.WeakSet[mmap.mmap] = weakref.WeakSet()
        self._turn = 0
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def watch(self, mapping: mmap.mmap, *, kept: bool = False) -> None:
        """Lets pages of a mapping go from now on, as long as it lives.

        Args:
            mapping: The mapping.
            kept: Whether it is read seldom, so that it is looked at less often.
        """
        with self._lock:
            (self._kept if kept else self._maps).add(mapping)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            time.sleep(_SECONDS)
            with self._lock:
                if not (self._maps or self._kept):
                    self._thread = None
                    return
                self._turn = (self._turn + 1) % _KEPT_TURNS
                maps = [*self._maps, *(() if self._turn else self._kept)]
            for mapping in maps:
                _let_go(mapping)


_PAGER = _Pager()


def owned(array: AnyArray) -> AnyArray:
    """An array in memory of its own.

    What a runtime gives lies in the memory of its session, all of which would stay with it.
    """
    return array if array.base is None else array.copy()


def keep(array: AnyArray) -> AnyArray:
    """An array to keep for long: as it is, or mapped from a file if many are kept already.

    The file has no name and goes with the array, or with the last of several that share it.
    """
    if array.nbytes <= _TINY or array.dtype.hasobject:
        return owned(array)
    if _KEPT.bytes + array.nbytes <= _IN_MEMORY:
        return _KEPT.add(owned(array))
    if array.nbytes <= _SMALL:
        return _SHELF.add(array)
    return np.frombuffer(_mapping(array), array.dtype).reshape(array.shape)


def _mapping(array: AnyArray) -> mmap.mmap:
    """A mapping of a file without a name that begins with the bytes of an array."""
    with scratch(), tempfile.TemporaryFile(prefix="onnx-factorize-") as file:
        # Written, not mapped and then filled: where there is no room, that would end the process.
        file.write(np.ascontiguousarray(array).data)
        file.flush()
        mapping = mmap.mmap(file.fileno(), array.nbytes)
    _PAGER.watch(mapping, kept=True)
    return mapping


class _Shelf:
    """A mapping in which small arrays stand side by side."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._mapping: mmap.mmap | None = None
        self._used = 0

    def add(self, array: AnyArray) -> AnyArray:
        """Copies an array there, into a new mapping where the last one is full."""
        with self._lock:
            if self._mapping is None or self._used + array.nbytes > len(self._mapping):
                self._mapping, self._used = _mapping(np.zeros(_SHELVED, np.uint8)), 0
            mapping, start = self._mapping, self._used
            self._used += -(-array.nbytes // _ALIGNED) * _ALIGNED
        copied = np.frombuffer(mapping, array.dtype, array.size, start).reshape(array.shape)
        copied[...] = array
        return copied


_SHELF = _Shelf()


class _Kept:
    """Counts the bytes of kept arrays that are in memory and alive."""

    def __init__(self) -> None:
        self.bytes = 0

    def add(self, array: AnyArray) -> AnyArray:
        self.bytes += array.nbytes
        weakref.finalize(array, self._gone, array.nbytes)
        return array

    def _gone(self, size: int) -> None:
        self.bytes -= size


_KEPT = _Kept()


def spill_large(model: ir.Model) -> None:
    """Moves the large weights of a model to a temporary file, once, if there are many of them.

    Each session would write a file of its own.
    """
    if weight_bytes(model) > LARGE:
        spill_values(model.graph.initializers.values())


def let_go(model: ir.Model) -> None:
    """Lets pages of a model's weights go that are mapped from files, until they are read again."""
    for graph in (model.graph, *model.graph.subgraphs()):
        for value in graph.initializers.values():
            tensor = value.const_value
            if isinstance(tensor, ir.ExternalTensor) and tensor.raw is not None:
                _let_go(tensor.raw)


def _let_go(mapping: mmap.mmap) -> None:
    # Not every system has it, and a mapping may have been closed meanwhile.
    with contextlib.suppress(AttributeError, OSError, ValueError):
        mapping.madvise(mmap.MADV_DONTNEED)


def spill_values(values: Iterable[ir.Value]) -> None:
    """Moves large weights that are in memory, or computed when read, to a temporary file.

    The file lives as long as any of its tensors does.
    """
    chosen = [
        value
        for value in values
        if value.const_value is not None
        and not isinstance(value.const_value, ir.ExternalTensor)
        and _is_large(value.const_value)
    ]
    if not chosen:
        return
    with scratch():
        folder = tempfile.TemporaryDirectory(prefix="onnx-factorize-")
    with scratch(), (pathlib.Path(folder.name) / _DATA).open("wb") as file:
        for value in chosen:
            tensor = value.const_value
            assert tensor is not None
            offset = file.tell()
            file.write(np.ascontiguousarray(tensor.numpy()).data)
            path = pathlib.Path(folder.name) / _DATA
            value.const_value = SharedTensor(path, offset, tensor, folder)


class PagedModel:
    """A large model in a form that onnxruntime runs without reading its weights into memory.

    The session gets arrays that are mapped from the weights' files, and a graph whose weights are
    said to be in a file that is as long as needed and empty.

    Attributes:
        path: The graph's file.
        options: The session options with the weights.
    """

    def __init__(self, model: ir.Model, options: ort.SessionOptions) -> None:
        """Prepares a model.

        Args:
            model: The model; it is not changed.
            options: The session options to add to.
        """
        paged = model.clone()
        spill_values(paged.graph.initializers.values())
        with scratch():
            self._folder = tempfile.TemporaryDirectory(prefix="onnx-factorize-")
        self.path = pathlib.Path(self._folder.name) / "model.onnx"
        self.options = options
        self._kept: list[Any] = []  # onnxruntime borrows what it is given
        large = [
            (value, tensor)
            for value in paged.graph.initializers.values()
            if isinstance(tensor := value.const_value, ir.ExternalTensor) and _is_large(tensor)
        ]
        watched = sum(tensor.nbytes for _, tensor in large) > _PAGED
        lent, end = [], 0
        for value, tensor in large:
            name = value.name or ""
            self._lend(tensor, name, watched=watched)
            lent.append((value, _placeholder(tensor, end, name)))
            value.const_value = ir.tensor(np.zeros((0,), tensor.dtype.numpy()), name=name)
            end += tensor.nbytes
        paged = ir.external_data.load_to_model(paged)  # what is small, and in subgraphs
        for value, placeholder in lent:
            value.const_value = placeholder
        with scratch(), (self.path.parent / _DATA).open("wb") as file:
            file.truncate(end)  # nobody reads it
            self.path.write_bytes(ir.to_proto(paged).SerializeToString())
        # Repacked or folded weights would be copies in memory.
        options.add_session_config_entry("session.disable_prepacking", "1")

    def session(self, provider: str) -> ort.InferenceSession:
        """Loads the model."""
        return ort.InferenceSession(
            str(self.path),
            self.options,
            [provider],
            disabled_optimizers=_REWRITE_WEIGHTS,
            enable_fallback=0,  # a second attempt would forget what is disabled
        )

    def _lend(self, tensor: ir.ExternalTensor, name: str, *, watched: bool) -> None:
        array: AnyArray = tensor.numpy()
        lent = ort.OrtValue.ortvalue_from_numpy(array)
        self._kept += [tensor, array, lent]
        if watched and tensor.raw is not None:
            _PAGER.watch(tensor.raw)
        self.options.add_initializer(name, lent)


def _is_large(tensor: ir.TensorProtocol) -> bool:
    return tensor.nbytes > _SMALL and tensor.dtype in _MAPPABLE


def _placeholder(tensor: ir.TensorProtocol, offset: int, name: str) -> ir.ExternalTensor:
    """A weight that is said to be in the file beside the graph's."""
    shape = ir.Shape(tensor.shape.numpy())
    return ir.ExternalTensor(_DATA, offset, tensor.nbytes, tensor.dtype, shape=shape, name=name)
