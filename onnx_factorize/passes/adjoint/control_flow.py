"""Differentiation of If, branch by branch."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from onnx_factorize.graph import defined
from onnx_factorize.passes.adjoint.emission.blocks import BRANCHES, Block, Branching
from onnx_factorize.passes.adjoint.emission.emit import Emitter
from onnx_factorize.passes.adjoint.sweep import Sweep


def differentiate_if(sweep: Sweep, node: ir.Node, cotangents: Sequence[ir.Value | None]) -> None:
    """Append an If with the same condition, whose branches are the adjoints of the branches.

    A captured value's cotangent is an output of this If, of zeros where the branch taken does
    not read the value. Intermediate values of the primal's branches are not visible in the
    adjoint's: `scopes` exposes those as outputs of the primal If.
    """
    e = sweep.e
    graphs = [node.attributes[name].as_graph() for name in BRANCHES]
    blocks = (Block(e.block), Block(e.block))
    branching = Branching(ir.Node("", "If", [node.inputs[0]], num_outputs=0, name=e.name()), blocks)
    for block in blocks:
        block.owner = branching
    terms: list[dict[ir.Value, ir.Value]] = []
    for graph, block in zip(graphs, blocks, strict=True):
        with e.inside(block):
            terms.append(_differentiate_branch(sweep, graph, cotangents))
    outer = list(dict.fromkeys([*terms[0], *terms[1]]))
    results: list[tuple[ir.Value, ir.Value]] = []
    for value in outer:
        pair: list[ir.Value] = []
        for block, found in zip(blocks, terms, strict=True):
            with e.inside(block):
                term = found.get(value) or e.full(e.shape(value), 0.0, _dtype(sweep, value))
                pair.append(_own(e, term, [r[len(pair)] for r in results]))
        results.append((pair[0], pair[1]))
    branching.results = results
    branching.node.resize_outputs(len(outer))
    e.block.nodes.append(branching.node)
    e.branchings[branching.node] = branching
    for value, output in zip(outer, branching.node.outputs, strict=True):
        output.name = e.name()
        sweep.contribute(value, output)


def _differentiate_branch(
    sweep: Sweep, graph: ir.Graph, cotangents: Sequence[ir.Value | None]
) -> dict[ir.Value, ir.Value]:
    """Differentiate one branch in the current block; return the terms of captured values."""
    own = defined(graph)
    with sweep.apart() as terms:
        for output, cotangent in zip(graph.outputs, cotangents, strict=True):
            if cotangent is not None and output in sweep.needed:
                sweep.contribute(output, cotangent)
        sweep.run(list(graph))
        found = {}
        for value in list(terms):
            total = sweep.gradient(value)
            assert total is not None
            if value not in own:
                found[value] = total
            elif value in sweep.wanted:
                here = value.graph is graph
                sweep.settle(value, _own(sweep.e, total, ()) if here else total)
    return found


def _own(e: Emitter, value: ir.Value, taken: Sequence[ir.Value]) -> ir.Value:
    """Return a value that the current block computes and that is not yet an output of it."""
    if value.producer() in e.block.nodes and value not in taken:
        return value
    return e.copy(value)


def _dtype(sweep: Sweep, value: ir.Value) -> ir.DataType:
    return sweep.facts.dtype(value) or ir.DataType.FLOAT
