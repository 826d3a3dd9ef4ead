"""Propagation of dimension tokens: which dynamic dimensions are certainly equal."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import onnx_ir as ir

from onnx_factorize.passes.adjoint.facts import Dim, Facts

Dims = tuple[Dim, ...]

_SAME = frozenset(
    """Abs BatchNormalization Cast Ceil Celu Clip Cos CumSum Dropout Elu Erf Exp Floor Gelu
    GroupNormalization HardSigmoid HardSwish Hardmax Identity InstanceNormalization
    LayerNormalization LeakyRelu Log LogSoftmax LpNormalization LRN MeanVarianceNormalization
    Mish Neg Not PRelu QuickGelu RMSNormalization Reciprocal Relu Round Selu Sigmoid Sign Sin
    Softmax Softplus Softsign Sqrt Swish Tanh ThresholdedRelu Trilu""".split()
)
_BROADCAST = frozenset(
    "Add And Div Equal Greater GreaterOrEqual Less LessOrEqual Max Mean Min Mod Mul Or Pow "
    "Sub Sum Where Xor".split()
)
_CONV = frozenset({"Conv", "MaxPool", "AveragePool", "LpPool"})


def propagate(graph: ir.Graph, facts: Facts) -> None:
    """Refine the facts of all nodes of a graph and of its subgraphs, in order."""
    for node in graph:
        visit(node, facts)
        for attr in node.attributes.values():
            if attr.type == ir.AttributeType.GRAPH:
                propagate(attr.as_graph(), facts)


def visit(node: ir.Node, facts: Facts) -> None:
    """Refine the facts of a node's outputs from those of its inputs."""
    if not node.outputs:
        return
    output = node.outputs[0]
    derived = _derive(node, facts) if node.domain in ("", "ai.onnx") else None
    if derived is not None:
        inferred = facts.dims.get(output)
        if inferred is None:
            facts.dims[output] = derived
        elif len(inferred) == len(derived):
            facts.dims[output] = tuple(
                old if isinstance(old, int) else new
                for old, new in zip(inferred, derived, strict=True)
            )
    if node.op_type == "Split" and node.inputs[0] in facts.dims:
        axis, whole = _int(node, "axis", 0), facts.dims[node.inputs[0]]
        for value in node.outputs:
            part = list(whole)
            part[axis] = facts.static(value, axis) or facts.fresh()
            facts.dims[value] = tuple(part)
    for value in node.outputs:
        if value not in facts.dims and value.shape is not None:
            # Nothing better than the declared rank, of which no dimension is believed.
            facts.dims[value] = tuple(facts.fresh() for _ in value.shape)
    if output not in facts.ints:
        contents = _contents(node, facts)
        if contents is not None:
            facts.ints[output] = contents


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
        nested = isinstance(dim, tuple) and dim[0] == "broadcast"
        found.update(dim[1:] if nested and isinstance(dim, tuple) else (dim,))
    return found


def _matmul(node: ir.Node, known: Sequence[Dims | None], facts: Facts) -> Dims | None:
    a, b = known[0], known[1]
    if a is None or b is None or len(a) < 2 or len(b) < 2:
        return None
    return (*_broadcast([a[:-2], b[:-2]]), a[-2], b[-1])


def _gemm(node: ir.Node, known: Sequence[Dims | None], facts: Facts) -> Dims | None:
    a, b = known[0], known[1]
    if a is None or b is None:
        return None
    trans_a, trans_b = (_int(node, name, 0) for name in ("transA", "transB"))
    return (a[1 if trans_a else 0], b[0 if trans_b else 1])


def _transpose(node: ir.Node, known: Sequence[Dims | None], facts: Facts) -> Dims | None:
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
    strides, dilations = (_ints(node, name, ones) for name in ("strides", "dilations"))
    pads = _ints(node, "pads", [0] * (2 * spatial))
    auto = node.attributes.get("auto_pad")
    mode = auto.as_string() if auto else "NOTSET"
    ceil = _int(node, "ceil_mode", 0)
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
        dim, offset = dim[1], dim[2] + offset
    return ("plus", dim, offset) if offset else dim


def _reshape(node: ir.Node, known: Sequence[Dims | None], facts: Facts) -> Dims | None:
    dims = known[0]
    target = facts.ints.get(node.inputs[1]) if node.inputs[1] is not None else None
    assert dims is not None
    if target is None:
        length = known[1][0] if known[1] is not None else None
        return tuple(facts.fresh() for _ in range(length)) if isinstance(length, int) else None
    if not _int(node, "allowzero", 0):
        target = tuple(
            dims[i] if dim == 0 and i < len(dims) else dim for i, dim in enumerate(target)
        )
    if -1 not in target:
        return target
    hole = target.index(-1)
    rest = quotient(dims, (*target[:hole], *target[hole + 1 :]))
    return (*target[:hole], rest, *target[hole + 1 :])


def quotient(numerator: Sequence[Dim], denominator: Sequence[Dim]) -> Dim:
    """Return the product of dimensions over another, cancelled and in one normal form."""
    above = math.prod(dim for dim in numerator if isinstance(dim, int))
    below = math.prod(dim for dim in denominator if isinstance(dim, int))
    up = [dim for dim in numerator if not isinstance(dim, int)]
    down: list[Dim] = []
    for dim in denominator:
        if isinstance(dim, int):
            continue
        if dim in up:
            up.remove(dim)
        else:
            down.append(dim)
    divisor = math.gcd(above, below) or 1
    above, below = above // divisor, below // divisor
    if not up and not down and below == 1:
        return above
    if len(up) == 1 and not down and above == below == 1:
        return up[0]
    return ("quotient", above, below, tuple(sorted(up, key=repr)), tuple(sorted(down, key=repr)))


def _concat(node: ir.Node, known: Sequence[Dims | None], facts: Facts) -> Dims | None:
    shapes = [dims for dims in known if dims is not None]
    if len(shapes) < len(known) or len({len(dims) for dims in shapes}) != 1:
        return None
    axis = _int(node, "axis", 1) % len(shapes[0])
    column = [dims[axis] for dims in shapes]
    total: Dim = facts.fresh()
    dynamic = [dim for dim in column if not isinstance(dim, int)]
    if len(dynamic) <= 1:
        static = sum(dim for dim in column if isinstance(dim, int))
        total = shifted(dynamic[0], static) if dynamic else static
    return (*shapes[0][:axis], total, *shapes[0][axis + 1 :])


def _flatten(node: ir.Node, known: Sequence[Dims | None], facts: Facts) -> Dims | None:
    dims = known[0]
    assert dims is not None
    axis = _int(node, "axis", 1)
    axis = axis + len(dims) if axis < 0 else axis
    return (quotient(dims[:axis], ()), quotient(dims[axis:], ()))


def _gather(node: ir.Node, known: Sequence[Dims | None], facts: Facts) -> Dims | None:
    data, picks = known[0], known[1]
    if data is None or picks is None or not data:
        return None
    axis = _int(node, "axis", 0) % len(data)
    return (*data[:axis], *picks, *data[axis + 1 :])


def _gather_elements(
    node: ir.Node, known: Sequence[Dims | None], facts: Facts
) -> Dims | None:
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


def _slice(node: ir.Node, known: Sequence[Dims | None], facts: Facts) -> Dims | None:
    dims = known[0]
    assert dims is not None
    unknown = tuple(facts.fresh() for _ in dims)
    if "starts" in node.attributes:
        starts, ends = _ints(node, "starts", ()), _ints(node, "ends", ())
        axes, steps = _ints(node, "axes", range(len(starts))), [1] * len(starts)
    else:
        inputs = [facts.ints.get(v) if v is not None else () for v in node.inputs[1:]]
        lists = [[i for i in v or () if isinstance(i, int)] for v in inputs]
        if any(v is None or len(v) != len(w) for v, w in zip(inputs, lists, strict=True)):
            return unknown
        starts, ends = lists[0], lists[1]
        axes = lists[2] if len(lists) > 2 and lists[2] else range(len(starts))
        steps = lists[3] if len(lists) > 3 and lists[3] else [1] * len(starts)
    result = list(dims)
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        dim = dims[axis]
        if isinstance(dim, int):
            result[axis] = len(range(*slice(start, end, step).indices(dim)))
        elif (start, step) != (0, 1) or end < 2**31 - 1:
            result[axis] = facts.fresh()
    return tuple(result)


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
    if _int(node, "keepdims", 1):
        return tuple(1 if i in gone else dim for i, dim in enumerate(dims))
    return tuple(dim for i, dim in enumerate(dims) if i not in gone)


def _global_pool(node: ir.Node, known: Sequence[Dims | None], facts: Facts) -> Dims | None:
    dims = known[0]
    assert dims is not None
    return (*dims[:2], *([1] * (len(dims) - 2)))


_Handler = Callable[[ir.Node, Sequence[Dims | None], Facts], Dims | None]
_HANDLERS: dict[str, _Handler] = {
    "MatMul": _matmul,
    "Gemm": _gemm,
    "Transpose": _transpose,
    "Conv": _conv,
    "Reshape": _reshape,
    "Concat": _concat,
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "Slice": _slice,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "GlobalAveragePool": _global_pool,
    "GlobalMaxPool": _global_pool,
    **{
        f"Reduce{kind}": _reduce
        for kind in "Sum Mean Max Min Prod L1 L2 LogSum LogSumExp SumSquare".split()
    },
}


def _contents(node: ir.Node, facts: Facts) -> Dims | None:
    """Follow the small integer tensors that shapes are computed with."""
    value = node.inputs[0] if node.inputs else None
    if node.op_type == "Shape" and value is not None:
        start, end = _int(node, "start", 0), node.attributes.get("end")
        dims = facts.dims.get(value)
        return None if dims is None else dims[start : end.as_int() if end else None]
    if node.op_type == "Concat":
        parts = [facts.ints.get(part) if part is not None else None for part in node.inputs]
        present = [part for part in parts if part is not None]
        return sum(present, ()) if len(present) == len(parts) else None
    if value is None or value not in facts.ints:
        return None
    contents = facts.ints[value]
    if node.op_type in ("Cast", "Squeeze", "Unsqueeze", "Reshape", "Identity"):
        return contents
    if node.op_type == "Gather" and facts.rank_or_none(value) == 1:
        picks = facts.ints.get(node.inputs[1]) if node.inputs[1] is not None else None
        if picks is not None and all(isinstance(i, int) for i in picks):
            return tuple(contents[i] for i in picks if isinstance(i, int))
    if node.op_type == "Slice" and "starts" in node.attributes:
        return contents[slice(_ints(node, "starts", ())[0], _ints(node, "ends", ())[0])]
    if node.op_type == "Slice":
        inputs = (*node.inputs[1:3], *node.inputs[4:])
        bounds = [facts.ints.get(v) if v is not None else None for v in inputs]
        if all(b is not None and isinstance(b[0], int) for b in bounds):
            return contents[slice(*(b[0] for b in bounds if b is not None))]
    return None


def _int(node: ir.Node, name: str, default: int) -> int:
    attr = node.attributes.get(name)
    return attr.as_int() if attr is not None else default


def _ints(node: ir.Node, name: str, default: Sequence[int]) -> Sequence[int]:
    attr = node.attributes.get(name)
    return attr.as_ints() if attr is not None else default
