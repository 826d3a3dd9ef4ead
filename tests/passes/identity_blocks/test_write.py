"""Identity blocks in graphs: the pair's function, from fewer numbers; and back."""

from __future__ import annotations

import dataclasses

import hypothesis
import numpy as np
import onnx_ir as ir
import pytest
from builders import assert_close, check, found, model, names, normal, ops, run, svd_factors
from generated_convolutions import convolutions
from generated_graphs import graphs
from hypothesis import strategies as st

from onnx_factorize.files.model_io import load, parameters
from onnx_factorize.passes import (
    FindTargets,
    LiftWeights,
    RewriteTargets,
)
from onnx_factorize.passes.identity_blocks import (
    WriteIdentityBlocks,
    WritePairs,
    sides_of,
    write,
)
from onnx_factorize.passes.identity_blocks.choose import identity_blocks

TOLERANCES = {np.float16: 4e-2, np.float32: 1e-4, np.float64: 1e-10}


def _pair(source, target, rank, shift=None):
    """A model with a target cut to a rank."""
    made, factors = load(source), svd_factors(target, rank, shift)
    RewriteTargets({target.name: dataclasses.replace(factors, operator=target.operator)})(made)
    return made


def _block(pair):
    """The same as an identity block, and whether it could be."""
    made = pair.clone()
    return made, WriteIdentityBlocks()(made).modified


def _contents(made: ir.Model):
    """The nodes and the weights by name."""
    proto = check(made)
    nodes = [(node.op_type, node.name, list(node.output)) for node in proto.graph.node]
    # A bias that was divided and joined again is another constant, and none of zeros.
    return nodes, sorted(
        ("" if len(i.dims) == 1 else i.name, tuple(i.dims)) for i in proto.graph.initializer
    )


def _saves(target, pair, block, rank):
    """The numbers that a block has less, without those that say how to split."""
    splits = sum(len(n.outputs) for n in block.graph.all_nodes() if n.op_type == "Split")
    return parameters(pair) - parameters(block) + splits


@pytest.fixture(params=["best", "first", "middle", "last", "other"])
def window(request, monkeypatch):
    """Windows at every place, on every side that an operator has."""

    def chosen(down, up, dtype, sides):
        side = sides[-1] if request.param == "other" else sides[0]
        blocks = sorted(identity_blocks(down, up, side), key=lambda block: block.start)
        index = {"first": 0, "middle": len(blocks) // 2, "last": -1, "other": 0}[request.param]
        return blocks[index] if blocks else None

    if request.param != "best":
        monkeypatch.setattr(write, "choose_block", chosen)


@pytest.mark.usefixtures("window")
@hypothesis.settings(
    max_examples=15, suppress_health_check=list(hypothesis.HealthCheck), deadline=None
)
@hypothesis.given(graphs(), st.integers(1, 3))
def test_graphs_compute_what_their_pairs_compute(graph, rank):
    dense, feeds = graph.proto(graph.weight()), graph.feeds()
    normalised, finder = found(load(dense))
    if not finder.targets or graph.dtype is np.float16:
        return
    (target,) = finder.targets
    rank = min(rank, target.full_rank)
    pair = _pair(dense, target, rank)
    block, written = _block(pair)
    assert written or not sides_of(normalised, target) or rank == target.full_rank
    wanted = run(ir.to_proto(pair), feeds)
    for a, b in zip(run(ir.to_proto(block), feeds), wanted, strict=True):
        if b.dtype.kind == "f":
            assert_close(a, b, TOLERANCES[graph.dtype])
    if not written:
        return
    zeros = rank if target.layer.zeros else 0
    assert _saves(target, pair, block, rank) >= rank**2 - 2 * target.columns * (zeros > 0)
    again = ir.from_proto(ir.to_proto(block))
    LiftWeights()(again)
    seen = FindTargets()
    seen(again)
    assert not seen.targets
    assert [skip.provenance.form.endswith("identity block") for skip in seen.skipped] == [True]
    back = block.clone()
    WritePairs()(back)
    for a, b in zip(run(ir.to_proto(back), feeds), wanted, strict=True):
        if b.dtype.kind == "f":
            assert_close(a, b, 1e-5 if graph.dtype is np.float32 else 1e-10)
    assert len(list(back.graph.all_nodes())) == len(list(pair.graph.all_nodes()))


@pytest.mark.usefixtures("window")
@hypothesis.settings(
    max_examples=12, suppress_health_check=list(hypothesis.HealthCheck), deadline=None
)
@hypothesis.given(convolutions(), st.integers(1, 3), st.booleans())
def test_convolutions_compute_what_their_pairs_compute(convolution, rank, shifted):
    text, weights, x = convolution
    proto = model(text, weights)
    normalised, finder = found(proto)
    (target,) = finder.targets
    for unfolding in (target, *target.unfoldings):
        low = min(rank, unfolding.full_rank)
        shift = np.full(target.groups * target.columns, 0.5)
        pair = _pair(proto, unfolding, low, shift if shifted else None)
        block, written = _block(pair)
        sides = sides_of(normalised, unfolding)
        assert written <= bool(sides) <= (written or low == unfolding.full_rank)
        wanted = run(check(pair), {"x": x})[0]
        assert_close(run(check(block), {"x": x})[0], wanted, 1e-4)
        if written:
            assert _saves(target, pair, block, low) == low**2
            back = block.clone()
            WritePairs()(back)
            assert_close(run(check(back), {"x": x})[0], wanted, 1e-5)
            assert _contents(back) == _contents(pair)


def test_the_last_node_keeps_its_name_and_bears_the_marks():
    text = "(float[3, 8] x) => (float[3, 12] y) { [c] h = MatMul (x, w)\n y = Add(h, b) }"
    proto = model(text, {"w": normal(1, 8, 12), "b": normal(2, 12)})
    proto.graph.node[0].metadata_props.add(key="mine", value="kept")
    target = found(load(proto))[1].targets[0]
    made, _ = _block(_pair(proto, target, 5))
    compressed = check(made)
    assert names(compressed.graph.node)[-2] == "c"
    marks = {prop.key: prop.value for prop in compressed.graph.node[-2].metadata_props}
    assert marks["mine"] == "kept"
    assert marks["pkg.onnx_factorize.form"] == "MatMul: two MatMuls, identity block"
    assert marks["pkg.onnx_factorize.rank"] == "5/8"
    assert "Gather" not in ops(compressed)


def test_a_pair_whose_numbers_would_be_huge_stays_a_pair():
    rng = np.random.default_rng(3)
    down, columns = rng.standard_normal((12, 4)), rng.standard_normal((4, 3))
    up = np.concatenate([np.repeat(columns, 4, axis=1), rng.standard_normal((4, 1))], axis=1)
    text = "(float[12, 5] x) => (float[5, 13] y) { [c] y = Gemm <transA = 1> (x, w) }"
    proto = model(text, {"w": (down @ up).astype(np.float32)})
    target = found(load(proto))[1].targets[0]
    pair = _pair(proto, target, 4)
    block = pair.clone()
    written = WriteIdentityBlocks()
    assert not written(block).modified
    assert written.refused == ["c"]
    assert _contents(block) == _contents(pair)


def test_half_precision_stays_a_pair_where_it_would_lose():
    text = "(float16[3, 96] x) => (float16[3, 96] y) { [c] y = MatMul (x, w) }"
    proto = model(text, {"w": normal(1, 96, 96, dtype=np.float16)})
    target = found(load(proto))[1].targets[0]
    assert not _block(_pair(proto, target, 48))[1]
