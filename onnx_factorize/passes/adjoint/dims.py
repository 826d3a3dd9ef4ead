"""Propagation of dimension tokens: which dynamic dimensions are certainly equal."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import onnx_ir as ir

from onnx_factorize.graph import subgraphs
from onnx_factorize.passes.adjoint import dims_fixed, dims_fused, types
from onnx_factorize.passes.adjoint.contents import contents, integer, integers
from onnx_factorize.passes.adjoint.dims_movement import gather_nd, quotient, range_, reshape, slice_
from onnx_factorize.passes.adjoint.emission.facts import Dim, Facts

Dims = tuple[Dim, ...]

_SAME_NAMES = """Abs BatchNormalization Cast Ceil Celu Clip Cos CumSum Dropout Elu Erf Exp Floor
    Gelu GroupNormalization HardSigmoid HardSwish Hardmax Identity InstanceNormalization
    LayerNormalization LeakyRelu Log LogSoftmax LpNormalization LRN MeanVarianceNormalization Mish
    Neg Not PRelu RMSNormalization Reciprocal Relu Round Selu Sigmoid Sign Sin Softmax
    Softplus Softsign Sqrt Swish Tanh ThresholdedRelu Trilu"""
_BROADCAST_NAMES = """Add And Div Equal Greater GreaterOrEqual Less LessOrEqual Max Mean Min Mod Mul
    Or Pow Sub Sum Where Xor"""
_SAME = frozenset(_SAME_NAMES.split())
_BROADCAST = frozenset(_BROADCAST_NAMES.split())
_CONV = frozenset({"Conv", "MaxPool", "AveragePool", "LpPool"})


def propagate(graph: ir.Graph, facts: Facts) -> None:
    """Refine the facts of all nodes of a graph and of its subgraphs, in order."""
    for node in graph:
        visit(node, facts)
        for inner in subgraphs(node):
            propagate(inner, facts)


def visit(node: ir.Node, facts: Facts) -> None:
    """Refine the facts of a node's outputs from those of its inputs."""
    if not node.outputs:
        return
    output = node.outputs[0]
    derived = _derive(node, facts) if node.domain in ("", "ai.onnx") else None
    if derived is None:
        dims_fused.fill(node, facts, visit)
    if derived is not None:
        inferred = facts.dims.get(output)
        if inferred is None:
            facts.dims[output] = derived
        elif len(inferred) == len(derived):
            facts.dims[output] = tuple(
                old if isinstance(old, int) else new
                for old, new in zip(inferred, derived, strict=True)
            )
    _visit_all(node, facts)
    if node.domain in ("", "ai.onnx"):
        dims_fixed.fill(node, facts)
        types.fill(node, facts)
    if output not in facts.ints:
        found = contents(node, facts)
        if found is not None:
            facts.ints[output] = found


def _visit_all(node: ir.Node, facts: Facts) -> None:
    """Refine the facts of every output, where operators have several."""
    whole = facts.dims.get(node.inputs[0]) if node.inputs and node.inputs[0] else None
    if node.op_type == "Split" and whole is not None:
        axis = integer(node, "axis", 0)
        for value in node.outputs:
            part = list(whole)
            part[axis] = facts.static(value, axis) or facts.fresh()
            facts.dims[value] = tuple(part)
    for value in node.outputs:
        if value not in facts.dims and value.shape is not None:
            # Nothing better than the declared rank, of which no dimension is believed.
            facts.dims[value] = tuple(facts.fresh() for _ in value.shape)


def _derive(node: ir.Node, facts: Facts) -> Dims | None:
    known = [facts.dims.get(value) if value is not None else None for value in node.inputs]
    first = known[0] if known else None
    if node.op_type in _BROADCAST:
        present = [dims for dims in known if dims is not None]
        return _broadcast(present) if len(present) == len(known) else None
    if first is None:
        return None
    if node.op_type in _SAME:
        return first
    handler = _HANDLERS.get("Conv" if node.op_type in _CONV else node.op_type)
    return handler(node, known, facts) if handler is not None else None


def _broadcast(shapes: Sequence[Dims]) -> Dims:
    rank = max(map(len, shapes), default=0)
    result: list[Dim] = []
    for axis in range(-rank, 0):
        column = {dims[axis] for dims in shapes if len(dims) >= -axis} - {1}
        static = [dim for dim in column if isinstance(dim, int)]
        if not column:
            result.append(1)
        elif static:
            result.append(static[0])
        elif len(column) == 1:
            result.append(column.pop())
        else:
            result.append(("broadcast", *sorted(_members(column), key=repr)))
    return tuple(result)


def _members(column: set[Dim]) -> set[Dim]:
    """Flatten broadcasts of broadcasts: the operation is idempotent and associative."""
    found: set[Dim] = set()
    for dim in column:
        if isinstance(dim, tuple) and dim[0] == "broadcast":
            found.update(dim[1:])
        else:
            found.add(dim)
    return found


def _matmul(_node: ir.Node, known: Sequence[Dims | None], _facts: Facts) -> Dims | None:
    a, b = known[0], known[1]
    if a is None or b is None or len(a) < 2 or len(b) < 2:
        return None
    return (*_broadcast([a[:-2], b[:-2]]), a[-2], b[-1])


def _gemm(node: ir.Node, known: Sequence[Dims | None], _facts: Facts) -> Dims | None:
    a, b = known[0], known[1]
    if a is None or b is None:
        return None
    trans_a, trans_b = (integer(node, name, 0) for name in ("transA", "transB"))
    return (a[1 if trans_a else 0], b[0 if trans_b else 1])


def _transpose(node: ir.Node, known: Sequence[Dims | None], _facts: Facts) -> Dims | None:
    dims = known[0]
    assert dims is not None
    perm = node.attributes.get("perm")
    return tuple(dims[p] for p in perm.as_ints()) if perm else tuple(reversed(dims))


def _conv(node: ir.Node, known: Sequence[Dims | None], facts: Facts) -> Dims | None:
    dims = known[0]
    assert dims is not None
    spatial = len(dims) - 2
    kernel_attr = node.attributes.get("kernel_shape")
    weight = known[1] if node.op_type == "Conv" and len(known) > 1 else None
    channels = weight[0] if weight is not None else dims[1]
    kernel: Sequence[Dim] | None = kernel_attr.as_ints() if kernel_attr else None
    if kernel is None and weight is not None:
        kernel = weight[2:]
    ones = [1] * spatial
    strides, dilations = (integers(node, name, ones) for name in ("strides", "dilations"))
    pads = integers(node, "pads", [0] * (2 * spatial))
    auto = node.attributes.get("auto_pad")
    mode = auto.as_string() if auto else "NOTSET"
    ceil = integer(node, "ceil_mode", 0)
    result: list[Dim] = [dims[0], channels]
    for i in range(spatial):
        k = kernel[i] if kernel is not None else None
        if not isinstance(k, int) or mode not in ("NOTSET", "VALID") or ceil:
            result.append(facts.fresh())
            continue
        padding = 0 if mode == "VALID" else pads[i] + pads[i + spatial]
        result.append(affine(dims[2 + i], padding - dilations[i] * (k - 1) - 1, strides[i]))
    return tuple(result)


def affine(dim: Dim, offset: int, stride: int) -> Dim:
    """Return the dimension (dim + offset) // stride + 1."""
    if isinstance(dim, int):
        return (dim + offset) // stride + 1
    if stride == 1:
        return shifted(dim, offset + 1)
    return ("window", dim, offset, stride)


def shifted(dim: Dim, offset: int) -> Dim:
    """Return the dimension dim + offset."""
    if isinstance(dim, int):
        return dim + offset
    if isinstance(dim, tuple) and dim[0] == "plus":
        return shifted(dim[1], dim[2] + offset)
    return ("plus", dim, offset) if offset else dim


def _concat(node: ir.Node, known: Sequence[Dims | None], _facts: Facts) -> Dims | None:
    shapes = [dims for dims in known if dims is not None]
    if len(shapes) < len(known) or len({len(dims) for dims in shapes}) != 1:
        return None
    axis = integer(node, "axis", 1) % len(shapes[0])
    column = [dims[axis] for dims in shapes]
    dynamic = [dim for dim in column if not isinstance(dim, int)]
    static = sum(dim for dim in column if isinstance(dim, int))
    total: Dim = static
    if len(dynamic) == 1:
        total = shifted(dynamic[0], static)
    elif dynamic:
        total = shifted(("sum", *sorted(dynamic, key=repr)), static)
    return (*shapes[0][:axis], total, *shapes[0][axis + 1 :])


def _flatten(node: ir.Node, known: Sequence[Dims | None], _facts: Facts) -> Dims | None:
    dims = known[0]
    assert dims is not None
    axis = integer(node, "axis", 1)
    axis = axis + len(dims) if axis < 0 else axis
    return (quotient(dims[:axis], ()), quotient(dims[axis:], ()))


def _gather(node: ir.Node, known: Sequence[Dims | None], _facts: Facts) -> Dims | None:
    data, picks = known[0], known[1]
    if data is None or picks is None or not data:
        return None
    axis = integer(node, "axis", 0) % len(data)
    return (*data[:axis], *picks, *data[axis + 1 :])


def _gather_elements(_node: ir.Node, known: Sequence[Dims | None], _facts: Facts) -> Dims | None:
    return known[1]


def _expand(node: ir.Node, known: Sequence[Dims | None], facts: Facts) -> Dims | None:
    target = facts.ints.get(node.inputs[1]) if node.inputs[1] is not None else None
    return None if target is None or known[0] is None else _broadcast([known[0], target])


def _axes(node: ir.Node, facts: Facts, index: int = 1) -> list[int] | None:
    if "axes" in node.attributes:
        return list(node.attributes["axes"].as_ints())
    value = node.inputs[index] if len(node.inputs) > index else None
    found = facts.ints.get(value) if value is not None else None
    if found is None or not all(isinstance(axis, int) for axis in found):
        return None
    return [axis for axis in found if isinstance(axis, int)]


def _squeeze(node: ir.Node, known: Sequence[Dims | None], facts: Facts) -> Dims | None:
    dims, axes = known[0], _axes(node, facts)
    assert dims is not None
    if axes is None:
        return None
    gone = {axis % len(dims) for axis in axes}
    return tuple(dim for i, dim in enumerate(dims) if i not in gone)


def _unsqueeze(node: ir.Node, known: Sequence[Dims | None], facts: Facts) -> Dims | None:
    dims, axes = known[0], _axes(node, facts)
    assert dims is not None
    if axes is None:
        return None
    rank = len(dims) + len(axes)
    new = {axis % rank for axis in axes}
    rest = iter(dims)
    return tuple(1 if i in new else next(rest) for i in range(rank))


def _reduce(node: ir.Node, known: Sequence[Dims | None], facts: Facts) -> Dims | None:
    dims, axes = known[0], _axes(node, facts)
    assert dims is not None
    if axes is None:
        return None
    gone = {axis % len(dims) for axis in axes} if dims else set()
    if integer(node, "keepdims", 1):
        return tuple(1 if i in gone else dim for i, dim in enumerate(dims))
    return tuple(dim for i, dim in enumerate(dims) if i not in gone)


def _global_pool(_node: ir.Node, known: Sequence[Dims | None], _facts: Facts) -> Dims | None:
    dims = known[0]
    assert dims is not None
    return (*dims[:2], *([1] * (len(dims) - 2)))


_REDUCTIONS = "Sum Mean Max Min Prod L1 L2 LogSum LogSumExp SumSquare"
_Handler = Callable[[ir.Node, Sequence[Dims | None], Facts], Dims | None]
_HANDLERS: dict[str, _Handler] = {
    "MatMul": _matmul,
    "Gemm": _gemm,
    "Transpose": _transpose,
    "Conv": _conv,
    "Reshape": reshape,
    "Concat": _concat,
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "GatherND": gather_nd,
    "Range": range_,
    "Slice": slice_,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "GlobalAveragePool": _global_pool,
    "GlobalMaxPool": _global_pool,
    **{f"Reduce{kind}": _reduce for kind in _REDUCTIONS.split()},
}
