"""Factors made as narrow in the graph as training left them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir
import torch

from ..passes import record
from ..passes.linear.provenance import provenance_of, stamp
from .bottleneck import Bottleneck

__all__ = ["truncate"]


def truncate(model: ir.Model, bottlenecks: Sequence[Bottleneck], ranks: Mapping[str, int]) -> None:
    """Leaves the first components of bottlenecks; the others are expected to be zero.

    Args:
        model: The model; it is changed in place.
        bottlenecks: Of this model.
        ranks: Of each, by the name of its value.
    """
    nodes = {node.outputs[0].name: node for node in model.graph if node.outputs}
    for each in bottlenecks:
        rank = ranks[each.value]
        for factor in (each.down, each.up):
            value = model.graph.initializers[factor.weight]
            assert value.const_value is not None
            old = torch.from_numpy(np.array(value.const_value.numpy()))
            new = factor.stored(factor.matrices(old)[:, :rank], old).contiguous().numpy()
            value.const_value = ir.tensor(new, value.dtype, name=value.name)
            value.shape = ir.Shape(new.shape)
        giver = nodes[each.value]
        zeros = giver.inputs[2] if giver.op_type == "Gemm" and len(giver.inputs) > 2 else None
        if zeros is not None and zeros.const_value is not None and zeros.const_value.size > 1:
            zeros.const_value = ir.tensor(zeros.const_value.numpy()[:rank], name=zeros.name)
            zeros.shape = ir.Shape([rank])
        z = giver.outputs[0]
        z.shape = None
        last = next(iter(z.uses())).node
        mark = provenance_of(last)
        if mark is not None:
            named = type(mark)(mark.operator, mark.form, rank, mark.full_rank)
            stamp(last, (), named, each.operator)
    record(model)
