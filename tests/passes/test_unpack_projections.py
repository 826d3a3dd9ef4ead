"""Queries, keys and values of one product are cut apart, and what is not cut stays one product."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper
import pytest
from builders import found, normal, run, svd_factors
from genai_models import HEAD, KEYS, genai_model, genai_text

from onnx_factorize import factorize
from onnx_factorize.files.model_io import load, parameters
from onnx_factorize.passes import RewriteTargets
from onnx_factorize.passes.unpack_projections import UnpackProjections

FIRST, SECOND = (f"/layers.{i}/attn/qkv_proj/MatMul" for i in range(2))


def _biased() -> onnx.ModelProto:
    """The model with a bias behind the first of its products."""
    made = genai_model()
    index = next(i for i, node in enumerate(made.graph.node) if node.name == FIRST)
    made.graph.node[index].output[0] = "p0_product"
    add = onnx.helper.make_node("Add", ["p0_product", "b_qkv"], ["p0"], "/layers.0/attn/qkv/Add")
    made.graph.node.insert(index + 1, add)
    made.graph.initializer.append(onnx.numpy_helper.from_array(normal(77, 128), "b_qkv"))
    return made


def _feeds(model) -> dict[str, np.ndarray]:
    ids = genai_text(3, 9)
    names = [value.name for value in model.graph.inputs]
    caches = {name: np.zeros((3, KEYS, 0, HEAD), np.float32) for name in names if "past" in name}
    return {"input_ids": ids, "attention_mask": np.ones_like(ids), **caches}


def _names(model) -> set[str]:
    return {node.name for node in model.graph if "qkv" in (node.name or "")}


@pytest.mark.parametrize("biased", [False, True])
def test_three_products_compute_the_same(biased):
    dense = load(_biased() if biased else genai_model())
    wanted, size = run(dense, _feeds(dense)), parameters(dense)
    assert UnpackProjections()(dense).modified
    products = {name for name in _names(dense) if "MatMul" in name}
    assert products == {f"{name}.{part}" for name in (FIRST, SECOND) for part in "qkv"}
    assert parameters(dense) == size
    for one, other in zip(run(dense, _feeds(dense)), wanted, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5)


@pytest.mark.parametrize("biased", [False, True])
def test_only_what_is_cut_is_unpacked(biased):
    proto = _biased() if biased else genai_model()
    _, finder = found(proto)
    targets = {target.name: target for target in finder.targets}
    assert [targets[f"{FIRST}.{part}"].params for part in "qkv"] == [32 * 64, 32 * 32, 32 * 32]
    query = targets[f"{FIRST}.q"]
    dense = load(proto)
    wanted = run(dense, _feeds(dense))
    RewriteTargets({query.name: svd_factors(query, query.full_rank)})(dense)
    assert SECOND in _names(dense)
    assert {f"{FIRST}.q", f"{FIRST}.k", f"{FIRST}.v"} <= _names(dense)
    for one, other in zip(run(dense, _feeds(dense)), wanted, strict=True):
        np.testing.assert_allclose(one, other, atol=5e-5)


def _with_another_reader(proto: onnx.ModelProto, name: str) -> None:
    proto.graph.node.append(onnx.helper.make_node("Neg", [name], ["neg"]))
    proto.graph.output.append(
        onnx.helper.make_tensor_value_info("neg", onnx.TensorProto.FLOAT, None)
    )


@pytest.mark.parametrize("name", ["p0", "qkv0"])
def test_what_others_read_stays(name):
    proto = genai_model()
    _with_another_reader(proto, name)
    dense = load(proto)
    UnpackProjections()(dense)
    assert FIRST in _names(dense)
    assert SECOND not in _names(dense)


def test_what_was_factorized_before_stays():
    dense = load(genai_model())
    (product,) = (node for node in dense.graph if node.name == FIRST)
    product.metadata_props["pkg.onnx_factorize.origin"] = FIRST
    UnpackProjections()(dense)
    assert FIRST in _names(dense)
    assert SECOND not in _names(dense)


def test_as_where_an_exporter_writes_them_apart():
    apart = load(genai_model())
    UnpackProjections()(apart)
    options = {"budget": "targets=0.8", "include": "layers", "threads": 1, "effort": "low"}
    data = {"input_ids": genai_text()}
    reports = [factorize(model, data, **options).report for model in (genai_model(), apart)]
    ranks = [{layer.name: layer.rank for layer in report.layers} for report in reports]
    assert ranks[0] == ranks[1]
    assert any("qkv" in name and rank for name, rank in ranks[0].items())
    macs = [(report.model["dense"].macs, report.model["compressed"].macs) for report in reports]
    assert macs[0] == macs[1]
    first, second = (report.divergence["holdout"] for report in reports)
    assert first == pytest.approx(second, rel=1e-3)
