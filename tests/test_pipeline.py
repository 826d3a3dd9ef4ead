"""The whole way, from a model and data to a smaller model and a report."""

from __future__ import annotations

import json
import pathlib
import re
import subprocess
import sys

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from builders import (
    BUNDLED,
    BUNDLED_DATA,
    ROOT,
    W_LARGE,
    assert_close,
    model,
    normal,
    run,
    session,
)

from onnx_factorize import BudgetError, InputError, compare, factorize

FAST = {"samples": 96, "threads": 1, "weighting": "activation"}


def _feeds(rows=256, width=64, offset=0.0, seed=7):
    return [{"x": normal(seed, rows, width) + np.float32(offset)}]


def _wide(text=None, **weights):
    """Enough weights for budgets to be met to within 1 %."""
    body = text or "[a] h = MatMul (x, w1) p = Add (h, b1) r = Relu (p) [b] y = Gemm (r, w2, b2)"
    return model(
        f"(float[batch, 64] x) => (float[batch, 48] y) {{ {body} }}", {**W_LARGE, **weights}
    )


@pytest.fixture(scope="module")
def bundled():
    return factorize(BUNDLED, BUNDLED_DATA, budget="params=0.5", **FAST)


def test_the_bundled_model(bundled, tmp_path):
    dense = onnx.load(BUNDLED)
    bundled.save(tmp_path / "small.onnx")
    small = onnx.load(tmp_path / "small.onnx")
    onnx.checker.check_model(small, full_check=True)
    assert small.graph.input == dense.graph.input
    assert small.graph.output == dense.graph.output
    assert small.opset_import == dense.opset_import
    assert small.ir_version == dense.ir_version
    with np.load(BUNDLED_DATA) as data:
        images, labels = data["image"][-512:], data["label"][-512:]
    right = [
        float((run(m, {"image": images})[0].argmax(1) == labels).mean()) for m in (dense, small)
    ]
    assert right[0] > 0.85
    assert right[1] > right[0] - 0.05
    report = bundled.report
    assert report.model["compressed"].params <= 0.5 * report.model["dense"].params
    assert report.model["dense"].params == sum(
        int(np.prod(i.dims)) for i in dense.graph.initializer
    )
    assert report.model["compressed"].params == sum(
        int(np.prod(i.dims)) for i in small.graph.initializer
    )
    assert report.model["dense"].bytes == BUNDLED.stat().st_size
    size = (tmp_path / "small.onnx").stat().st_size
    assert abs(report.model["compressed"].bytes - size) < 0.001 * size
    assert 0 < report.divergence["holdout"] < 0.3


LARGER = {
    "w1": normal(31, 128, 192),
    "b1": normal(32, 192),
    "w2": normal(33, 192, 96),
    "b2": normal(34, 96),
}


def _larger():
    return model(
        "(float[batch, 128] x) => (float[batch, 96] y) "
        "{ [a] h = MatMul (x, w1) p = Add (h, b1) r = Relu (p) [b] y = Gemm (r, w2, b2) }",
        LARGER,
    )


@pytest.mark.usefixtures("time_is_weights")
@pytest.mark.parametrize("kind", ["params", "targets", "macs", "bytes"])
@pytest.mark.parametrize("fraction", [0.4, 0.75])
@pytest.mark.parametrize("ranks", ["global", "uniform"])
def test_budgets_are_met_within_one_percent(kind, fraction, ranks):
    dense = _larger()
    result = factorize(dense, _feeds(width=128), budget=f"{kind}={fraction}", ranks=ranks, **FAST)
    proto = ir.to_proto(result.model)
    weights = ("MatMul", "Gemm")
    used = {
        "params": sum(int(np.prod(i.dims)) for i in proto.graph.initializer)
        / sum(int(np.prod(i.dims)) for i in dense.graph.initializer),
        "bytes": proto.ByteSize() / dense.ByteSize(),
    }
    sizes = {i.name: int(np.prod(i.dims)) for i in proto.graph.initializer}
    target = sum(sizes[n.input[1]] for n in proto.graph.node if n.op_type in weights)
    used["targets"] = used["macs"] = target / (128 * 192 + 192 * 96)
    assert fraction - 0.01 <= used[kind] <= fraction


@pytest.mark.parametrize("quantize", [None, "int8"])
@pytest.mark.parametrize("external", [False, True])
def test_bytes_are_those_of_the_files_that_are_written(external, quantize, tmp_path):
    """Twelve layers of few weights: what is around the weights is a fifth of the files."""
    nodes = "".join(f"[l{i}] h{i + 1} = MatMul (h{i}, w{i}) " for i in range(12))
    text = f"(float[batch, 24] h0) => (float[batch, 24] h12) {{ {nodes} }}"
    dense = model(text, {f"w{i}": normal(i, 24, 24) / 5 for i in range(12)})
    where = {"save_as_external_data": True, "location": "m.data", "size_threshold": 0}
    onnx.save(dense, tmp_path / "m.onnx", **(where if external else {}))
    before = sum(file.stat().st_size for file in tmp_path.iterdir())
    result = factorize(
        tmp_path / "m.onnx", [{"h0": normal(7, 64, 24)}], budget="bytes=0.8", quantize=quantize,
        rank_multiple=1, **FAST,
    )  # fmt: skip
    predicted = result.report.model["compressed"].bytes
    (tmp_path / "out").mkdir()
    result.save(tmp_path / "out" / "small.onnx")
    written = sum(file.stat().st_size for file in (tmp_path / "out").iterdir())
    assert (tmp_path / "out" / "small.onnx.data").exists() == external
    assert predicted == pytest.approx(written, rel=0.01)
    assert result.report.model["dense"].bytes == before
    assert result.report.model["compressed"].bytes == written
    assert written <= 0.808 * before
    if quantize is None:
        assert written >= 0.78 * before


def test_absolute_budgets():
    result = factorize(_larger(), _feeds(width=128), budget="bytes=100kB", **FAST)
    assert 99_000 <= ir.to_proto(result.model).ByteSize() <= 100_000


@pytest.mark.usefixtures("time_is_weights")
def test_macs_of_unnamed_and_constant_weights():
    """Nodes without names, and weights in Constant nodes, are counted like all others."""
    text = "[a] h = MatMul (x, w1) r = Relu (h) [b] y = MatMul (r, w2)"
    proto = model(
        f"(float[batch, 64] x) => (float[batch, 48] y) {{ {text} }}",
        {k: W_LARGE[k] for k in ("w1", "w2")},
    )
    unnamed = onnx.ModelProto()
    unnamed.CopyFrom(proto)
    for node in unnamed.graph.node:
        node.name = ""
    constants = onnx.ModelProto()
    constants.CopyFrom(unnamed)
    for tensor in proto.graph.initializer:
        node = onnx.helper.make_node("Constant", [], [tensor.name], value=tensor)
        constants.graph.node.insert(0, node)
    del constants.graph.initializer[:]
    for each in (proto, unnamed, constants):
        result = factorize(each, _feeds(), budget="macs=0.5", **FAST)
        report = result.report
        assert report.model["dense"].macs == 64 * 96 + 96 * 48
        assert 0.49 <= report.model["compressed"].macs / report.model["dense"].macs <= 0.5
        assert sorted(layer.macs[0] for layer in report.layers) == [96 * 48, 64 * 96]


@pytest.mark.parametrize("weighting", ["none", "activation", "fisher"])
def test_the_mean_of_the_output_is_kept(weighting):
    """Inputs far from zero, a low rank: what the bias can absorb, it must."""
    if weighting == "none":
        pytest.skip("it has no moments to know the mean by")
    proto = model(
        "(float[batch, 64] x) => (float[batch, 48] y) { [a] y = Gemm (x, w, b2) }",
        {"w": normal(1, 64, 48), "b2": W_LARGE["b2"]},
    )
    feeds = _feeds(offset=5.0)
    options = {**FAST, "samples": 256, "holdout": 0, "weighting": weighting}
    result = factorize(proto, feeds, budget="targets=0.2", **options)
    before, after = (run(m, feeds[0])[0].mean(axis=0) for m in (proto, result.model))
    assert np.abs(before - after).max() < 1e-3 * np.abs(before).max()
    assert np.abs(run(result.model, feeds[0])[0] - run(proto, feeds[0])[0]).max() > 0.1


def test_moments_beat_the_plain_svd():
    mixing = np.diag(np.geomspace(1, 1e-2, 64)).astype(np.float32) @ normal(3, 64, 64)
    feeds = [{"x": normal(5, 512, 64) @ mixing}]
    errors = {
        weighting: factorize(
            _wide(), feeds, budget="targets=0.5", **{**FAST, "samples": 512, "weighting": weighting}
        ).report.divergence["holdout"]
        for weighting in ("none", "activation")
    }
    assert errors["activation"] < 0.7 * errors["none"]


def test_the_report():
    report = factorize(_wide(), _feeds(), budget="targets=0.5", **FAST).report
    data = json.loads(report.as_json())
    assert {
        "schema",
        "tool",
        "command",
        "model",
        "divergence",
        "layers",
        "seconds",
        "peak_rss_mb",
        "versions",
    } <= set(data)
    for part in ("dense", "compressed"):
        assert {"params", "bytes", "macs", "latency_ms", "sha256"} <= set(data["model"][part])
    assert {"predicted", "calibration", "holdout", "outputs"} <= set(data["divergence"])
    assert set(data["divergence"]["outputs"]) == {"y"}
    for layer in data["layers"]:
        assert {
            "name",
            "op_type",
            "form",
            "rank",
            "full_rank",
            "params",
            "macs",
            "loss",
            "status",
            "reason",
        } <= set(layer)
        assert layer["status"] in ("factorized", "kept", "skipped")
        if layer["status"] == "factorized":
            assert layer["params"][1] < layer["params"][0]
            assert 0 < layer["rank"] < layer["full_rank"]
        else:
            assert layer["reason"]
    assert data["command"]["budget"] == "targets=0.5"
    assert data["samples"]["calibration"] + data["samples"]["holdout"] == 96


def test_everything_that_is_not_rewritten_stays(tmp_path):
    text = """[a] h = MatMul (x, w1) [add] p = Add (h, b1) [relu] r = Relu (p)
        [one] i = Identity (r) [shape] s = Shape (i) [c] k = Constant <value_int = 3> ()
        [used] t = Add (s, k) [drop] d = Neg (i)
        [b] y = Gemm <transB = 1> (d, w2t, b2)"""
    proto = _wide(text, w2t=np.ascontiguousarray(W_LARGE["w2"].T))
    del proto.graph.initializer[[i.name for i in proto.graph.initializer].index("w2")]
    proto.doc_string, proto.graph.doc_string = "a model", "a graph"
    proto.producer_name, proto.producer_version, proto.model_version = "someone", "1.2", 7
    proto.domain = "org.example"
    proto.metadata_props.add(key="licence", value="MIT")
    proto.graph.input[0].doc_string = "sixty-four numbers"
    proto.graph.node[2].doc_string = "a rectifier"
    proto.graph.node[2].metadata_props.add(key="layer", value="1")
    proto.graph.initializer[1].doc_string = "a bias"
    before = proto.SerializeToString()
    result = factorize(proto, _feeds(), budget="targets=0.5", **FAST)
    assert proto.SerializeToString() == before
    result.save(tmp_path / "small.onnx")
    after = onnx.load(tmp_path / "small.onnx")
    for field in (
        "doc_string",
        "producer_name",
        "producer_version",
        "model_version",
        "domain",
        "ir_version",
    ):
        assert getattr(after, field) == getattr(proto, field), field
    found = {each.key: each.value for each in after.metadata_props}
    assert found.pop("pkg.onnx_factorize.version")
    assert "targets=0.5" in found.pop("pkg.onnx_factorize.options")
    assert '"origin":"a"' in found.pop("pkg.onnx_factorize.cuts")
    assert found == {"licence": "MIT"}
    assert {(o.domain, o.version) for o in after.opset_import} == {
        (o.domain, o.version) for o in proto.opset_import
    }
    assert after.graph.name == proto.graph.name
    assert after.graph.doc_string == proto.graph.doc_string
    assert list(after.graph.input) == list(proto.graph.input)
    assert list(after.graph.output) == list(proto.graph.output)
    old = {node.name: node for node in proto.graph.node}
    new = {node.name: node for node in after.graph.node}
    for node in (*old.values(), *new.values()):
        node.domain = node.domain  # an empty one may be written out or not
    assert set(new) == {*old, "a.down", "b.down"}
    for name in set(old) - {"a", "b", "add"}:
        assert new[name] == old[name], name
    for name in ("a", "b", "add"):
        assert new[name].op_type == old[name].op_type
        assert new[name].output == old[name].output
    assert [n.name for n in after.graph.node if n.name in old] == [n.name for n in proto.graph.node]


def test_initializers_that_nothing_reads_go():
    proto = _wide(unread=normal(1, 3))
    result = factorize(proto, _feeds(), budget="targets=0.5", **FAST)
    assert not {"unread", "w1", "w2"} & set(result.model.graph.initializers)


@pytest.mark.parametrize("form", ["path", "text", "proto", "ir"])
def test_sources_are_not_changed(form, tmp_path):
    proto = _wide()
    path = tmp_path / "m.onnx"
    path.write_bytes(proto.SerializeToString())
    source = {"path": path, "text": str(path), "proto": proto, "ir": ir.from_proto(proto)}[form]
    result = factorize(source, _feeds(), budget="targets=0.5", **FAST)
    assert len(result.model.graph) == len(proto.graph.node) + 2
    assert proto.SerializeToString() == _wide().SerializeToString() == path.read_bytes()
    if form == "ir":
        assert ir.to_proto(source) == ir.to_proto(ir.from_proto(proto))


def test_the_same_bytes_twice(tmp_path):
    for name in ("a", "b"):
        factorize(_wide(), _feeds(), budget="params=0.5", **FAST).save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def _external(folder: pathlib.Path, data="m.data") -> pathlib.Path:
    onnx.save(
        _wide(),
        folder / "m.onnx",
        save_as_external_data=True,
        location=data,
        size_threshold=0,
    )
    return folder / "m.onnx"


@pytest.mark.parametrize("weighting", ["none", "activation", "fisher"])
def test_external_data_stay_external(tmp_path, weighting):
    source = tmp_path / "in"
    source.mkdir()
    path = _external(source)
    kept = {file: file.read_bytes() for file in source.iterdir()}
    result = factorize(path, _feeds(), budget="targets=0.5", **{**FAST, "weighting": weighting})
    target = tmp_path / "out" / "small.onnx"
    target.parent.mkdir()
    result.save(target)
    assert {f: f.read_bytes() for f in source.iterdir()} == kept
    assert {f.name for f in target.parent.iterdir()} == {"small.onnx", "small.onnx.data"}
    proto = onnx.load(target, load_external_data=False)
    assert any(i.data_location == onnx.TensorProto.EXTERNAL for i in proto.graph.initializer)
    onnx.checker.check_model(str(target), full_check=True)
    (actual,) = session(target).run(None, _feeds()[0])
    (wanted,) = session(path).run(None, _feeds()[0])
    assert actual.shape == wanted.shape
    assert np.corrcoef(actual.ravel(), wanted.ravel())[0, 1] > 0.8


def test_truncated_external_data(tmp_path):
    path = _external(tmp_path)
    (tmp_path / "m.data").write_bytes((tmp_path / "m.data").read_bytes()[:1000])
    with pytest.raises(InputError) as raised:
        factorize(path, _feeds(), **FAST)
    assert "m.data" in str(raised.value)


def test_a_shared_weight_is_not_corrupted():
    text = """[a] h = MatMul (x, w1) r = Relu (h) [b] p = MatMul (r, w2)
        t = Neg (w1) s = ReduceSum (t) y = Add (p, s)"""
    proto = _wide(text)
    result = factorize(proto, _feeds(), budget="targets=0.5", **FAST)
    layers = {layer.name: layer for layer in result.report.layers}
    assert layers["a"].status == "skipped"
    assert "shared" in layers["a"].reason
    np.testing.assert_array_equal(
        result.model.graph.initializers["w1"].const_value.numpy(), W_LARGE["w1"]
    )


def test_a_branch_that_never_ran_stays_dense():
    text = """c = Constant <value = bool {1}> ()
        h = If (c) <
            then_branch = yes () => (float[batch, 96] a) { [ran] a = MatMul (x, w1) },
            else_branch = no () => (float[batch, 96] b) { n = Neg (x) [idle] b = MatMul (n, w3) }
        >
        [last] y = MatMul (h, w2)"""
    proto = _wide(text, w3=normal(9, 64, 96))
    report = factorize(proto, _feeds(), budget="targets=0.7", **FAST).report
    layers = {layer.name: layer for layer in report.layers}
    assert layers["idle"].status == "kept"
    assert "never ran" in layers["idle"].reason
    assert layers["ran"].status == "factorized"
    assert any("idle" in warning for warning in report.warnings)


@pytest.mark.usefixtures("time_is_weights")
@pytest.mark.parametrize("budget", ["params=0.01", "bytes=1kB", "macs=0.001", "targets=0.001"])
def test_infeasible(budget):
    with pytest.raises(BudgetError, match="cannot be met"):
        factorize(_wide(), _feeds(), budget=budget, **FAST)
    result = factorize(_wide(), _feeds(), budget=budget, best_effort=True, **FAST)
    ranks = {layer.rank for layer in result.report.layers}
    assert ranks == {1}


def test_a_budget_that_new_biases_would_break_is_refused_or_met():
    """Corrections add biases where there were none; the budget holds for the result as it is."""
    proto = model(
        "(float[batch, 64] x) => (float[batch, 48] y) { [g] y = Gemm (x, w) }",
        {"w": normal(1, 64, 48)},
    )
    for params in range(112, 400, 16):
        try:
            result = factorize(proto, _feeds(offset=1), budget=f"params={params}", **FAST)
        except BudgetError:
            continue
        assert sum(i.const_value.size for i in result.model.graph.initializers.values()) <= params


def test_choosing_targets():
    def statuses(**options):
        report = factorize(_wide(), _feeds(), budget="targets=0.5", **FAST, **options).report
        return {layer.name: layer.status for layer in report.layers}

    assert statuses(include="a") == {"a": "factorized", "b": "skipped"}
    assert statuses(exclude=["^a$"]) == {"a": "skipped", "b": "factorized"}
    assert statuses(op_types="Gemm") == {"a": "skipped", "b": "factorized"}
    with pytest.raises(InputError, match="All 2 factorizable operators are excluded"):
        statuses(include="nothing")


def test_ir_version_3(tmp_path):
    proto = model(
        "(float[batch, 64] x) => (float[batch, 48] y) "
        "{ [a] h = MatMul (x, w1) p = Add (h, b1) r = Relu (p) [b] y = Gemm (r, w2, b2) }",
        W_LARGE,
        opset=8,
        ir_version=3,
    )
    result = factorize(proto, _feeds(), budget="targets=0.5", **FAST)
    result.save(tmp_path / "small.onnx")
    after = onnx.load(tmp_path / "small.onnx")
    onnx.checker.check_model(after, full_check=True)
    assert after.ir_version == 3
    found = compare(proto, result.model, _feeds())
    assert found.agreement.samples == 256


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_types(dtype):
    kind = {np.float16: "float16", np.float64: "double"}[dtype]
    proto = model(
        f"({kind}[batch, 64] x) => ({kind}[batch, 48] y) "
        "{ [a] h = MatMul (x, w1) p = Add (h, b1) r = Relu (p) [b] y = Gemm (r, w2, b2) }",
        {k: v.astype(dtype) for k, v in W_LARGE.items()},
    )
    result = factorize(proto, _feeds(), budget="targets=0.5", **FAST)
    assert {v.dtype.numpy() for v in result.model.graph.initializers.values()} == {np.dtype(dtype)}
    assert result.report.divergence["holdout"] < 0.5


def test_compare_counts_every_sample():
    found = compare(_wide(), _wide(), _feeds(rows=10))
    assert found.agreement.samples == 10
    assert found.agreement.divergence == 0


def test_masked_tokens_do_not_matter():
    """Padding rows hold junk a thousand times larger; they must not steer the factors."""
    proto = model(
        "(float[batch, seq, 64] x, int64[batch, seq] attention_mask) => (float[batch, seq, 48] y) "
        "{ [a] h = MatMul (x, w1) r = Relu (h) [b] y = MatMul (r, w2) }",
        {k: W_LARGE[k] for k in ("w1", "w2")},
    )
    rng = np.random.default_rng(1)
    mask = (np.arange(10) < rng.integers(3, 9, 64)[:, None]).astype(np.int64)
    x = normal(3, 64, 10, 64)
    junk = np.where(mask[..., None], x, 1000 * normal(4, 1, 1, 64))
    clean = [{"x": x, "attention_mask": mask}]
    dirty = [{"x": junk.astype(np.float32), "attention_mask": mask}]
    a, b = (factorize(proto, feeds, budget="targets=0.5", **FAST) for feeds in (clean, dirty))
    assert a.report.divergence["holdout"] == pytest.approx(b.report.divergence["holdout"], rel=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weighting": "magic"}, "no weighting 'magic'"),
        ({"ranks": "best"}, "no allocation 'best'"),
        ({"rank_multiple": 0}, "rank_multiple"),
        ({"holdout": 1.0}, "holdout"),
        ({"holdout": float("nan")}, "holdout"),
        ({"samples": 0}, "samples"),
        ({"batch_size": -1}, "batch_size"),
        ({"seed": -1}, "seed"),
        ({"threads": -2}, "threads"),
        ({"include": "("}, "regular expression"),
        ({"outputs": {"y": "poisson"}}, "'poisson' is no kind"),
        ({"outputs": {"z": "gaussian"}}, "'z'"),
        ({"provider": "AbacusExecutionProvider"}, "AbacusExecutionProvider"),
        ({"no_such_option": 1}, "no option 'no_such_option'"),
        ({"budget": 0.5}, "budget"),
    ],
)
def test_options_that_are_wrong(options, message):
    with pytest.raises(InputError, match=message):
        factorize(_wide(), _feeds(rows=8), **{**FAST, **options})


@pytest.mark.parametrize("value", [1e30, np.inf])
def test_activations_that_overflow(value):
    feeds = [{"x": normal(1, 8, 64) * np.float32(value)}]
    with pytest.raises(InputError, match="finite"):
        factorize(_wide(), feeds, budget="targets=0.5", **FAST)


def test_constant_inputs_and_zero_weights_survive():
    for feeds in ([{"x": np.zeros((8, 64), np.float32)}], [{"x": np.ones((8, 64), np.float32)}]):
        for weighting in ("activation", "fisher"):
            options = {**FAST, "weighting": weighting}
            result = factorize(_wide(), feeds, budget="targets=0.5", **options)
            assert all(np.isfinite(run(result.model, feeds[0])[0]).ravel())
    proto = _wide(w1=np.zeros_like(W_LARGE["w1"]))
    result = factorize(proto, _feeds(), budget="targets=0.5", **FAST)
    assert_close(run(result.model, _feeds()[0])[0], run(proto, _feeds()[0])[0])


def test_no_torch():
    code = f"""if True:
        import sys
        import numpy as np
        from onnx_factorize import factorize
        import onnx_factorize.cli
        factorize({str(BUNDLED)!r}, {str(BUNDLED_DATA)!r}, samples=16, threads=1)
        assert not [name for name in sys.modules if name.split(".")[0] in ("torch", "models")]
    """
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT / "docs")


def test_the_worst_held_out_samples_are_named(tmp_path):
    """By the file and the place in it, from which their divergence can be had again."""
    dense = _larger()
    rng = np.random.default_rng(0)
    x = rng.standard_normal((40, 128)).astype(np.float32)
    for part, rows in (("a", slice(0, 20)), ("b", slice(20, 40))):
        np.savez(tmp_path / f"{part}.npz", x=x[rows])
    options = {"budget": "params=0.5", "outputs": {"y": "gaussian"}, **FAST}
    result = factorize(dense, tmp_path, **options)
    report = result.report
    worst = report.divergence["worst"]
    holdout = report.samples["holdout"]
    assert len(worst) == min(8, holdout)
    values = [each["divergence"] for each in worst]
    assert values == sorted(values, reverse=True)
    places = [re.fullmatch(r".*([ab])\.npz, index (\d+)", each["sample"]) for each in worst]
    assert len({(place[1], place[2]) for place in places}) == len(worst)
    # The same figure, from the sample that is named.
    data = np.concatenate([np.load(tmp_path / f"{part}.npz")["x"] for part in "ab"])
    row = 20 * (places[0][1] == "b") + int(places[0][2])
    sessions = [
        ort.InferenceSession(m.SerializeToString()) for m in (dense, ir.to_proto(result.model))
    ]
    p, q = (session.run(None, {"x": data})[0] for session in sessions)
    squares = np.square(p - q).mean(axis=1)
    others = [20 * (place[1] == "b") + int(place[2]) for place in places]
    assert squares[row] == max(squares[others])
    np.testing.assert_allclose(
        np.array(values) / values[0], squares[others] / squares[row], rtol=1e-3
    )
