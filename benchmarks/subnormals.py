"""Numbers next to nothing in the factors of a compressed model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx

__all__ = ["subnormal_factors"]

_MADE_BY = "pkg.onnx_factorize.origin"


def subnormal_factors(path: Path) -> int:
    """How many numbers w of factors have 0 < |w| < 1e-30; it looks at the file alone."""
    return sum(map(_in_graph, _graphs(onnx.load(path).graph)))


def _in_graph(graph: onnx.GraphProto) -> int:
    made = [node for node in graph.node if any(p.key == _MADE_BY for p in node.metadata_props)]
    read = {name for node in made for name in node.input}
    tensors = [tensor for tensor in graph.initializer if tensor.name in read]
    for node in graph.node:
        if node.op_type == "Constant" and read.intersection(node.output):
            tensors += [attribute.t for attribute in node.attribute if attribute.name == "value"]
    return sum(map(_numbers, tensors))


def _numbers(tensor: onnx.TensorProto) -> int:
    sizes = np.abs(onnx.numpy_helper.to_array(tensor).astype(np.float64))
    return int(((sizes > 0) & (sizes < 1e-30)).sum())


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                if inner.node:
                    yield from _graphs(inner)
