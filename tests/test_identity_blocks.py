"""Identity blocks from end to end: chosen, written, trained towards, turned back, and refused."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from builders import BUNDLED, BUNDLED_DATA, assert_close, run, weights_as_time
from click.testing import CliRunner

from onnx_factorize import factorize
from onnx_factorize.cli.main import cli
from onnx_factorize.errors import InputError
from onnx_factorize.files.model_io import load, parameters
from onnx_factorize.passes.identity_blocks import NOTE, identity_blocks_in
from onnx_factorize.report.inspection import inspect
from onnx_factorize.runtime.latency_cache import LatencyCache

QUICK = {"samples": 48, "threads": 1, "narrow": "off", "weighting": "activation"}


@pytest.fixture(scope="module")
def feeds():
    return {"image": np.load(BUNDLED_DATA)["image"][:16]}


@pytest.fixture(scope="module")
def block():
    return factorize(
        BUNDLED, BUNDLED_DATA, budget="targets=0.4", factors="identity", prefer="size", **QUICK
    )


def _command(*arguments):
    result = CliRunner().invoke(cli, [str(each) for each in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_the_budget_counts_what_is_written(block):
    cut = [layer for layer in block.report.layers if layer.status == "factorized"]
    assert any("identity block" in layer.form for layer in cut)
    named = {layer.name for layer in cut if "identity block" in layer.form}
    assert identity_blocks_in(block.model) == named
    costs = block.report.model
    told = sum(layer.params[0] - layer.params[1] for layer in cut)
    # Lists that say how to split, and rows of zeros that Gemms with transB add, are all besides.
    assert costs["dense"].params - costs["compressed"].params == pytest.approx(told, rel=0.01)
    assert costs["compressed"].params == parameters(block.model)
    pair = factorize(BUNDLED, BUNDLED_DATA, budget="targets=0.4", prefer="size", **QUICK)
    assert not identity_blocks_in(pair.model)
    lost, wanted = (sum(x.loss or 0 for x in made.report.layers) for made in (block, pair))
    assert lost <= wanted


@pytest.mark.parametrize("penalty", [0.0, 1e9])
def test_budgets_of_time_take_what_is_faster(penalty, monkeypatch):
    """On a clock that counts weights, and fines Split and Concat."""

    def clock(models, *_):
        fined = [any(n.op_type in ("Split", "Concat") for n in each.graph) for each in models]
        return [
            time + penalty * fine for time, fine in zip(weights_as_time(models), fined, strict=True)
        ]

    monkeypatch.setattr("onnx_factorize.runtime.this_machine.time_fed", clock)
    monkeypatch.setattr(LatencyCache, "get", lambda *_: None)
    monkeypatch.setattr(LatencyCache, "save", lambda _: None)
    asked = QUICK | {"budget": "latency=0.5", "best_effort": True}
    made = factorize(BUNDLED, BUNDLED_DATA, factors="auto", **asked)
    assert bool(identity_blocks_in(made.model)) == (penalty == 0)


def test_inspect_and_a_second_run_know_it(block, tmp_path):
    block.save(tmp_path / "once.onnx")
    layers = {layer.name: layer for layer in inspect(tmp_path / "once.onnx").layers}
    for layer in block.report.layers:
        if layer.status == "factorized":
            assert (layers[layer.name].form, layers[layer.name].rank) == (layer.form, layer.rank)
    again = factorize(tmp_path / "once.onnx", BUNDLED_DATA, budget="targets=0.9", **QUICK)
    assert identity_blocks_in(again.model) >= identity_blocks_in(block.model)


def test_convert_gives_the_pairs_back_without_data(block, feeds, tmp_path):
    once = tmp_path / "once.onnx"
    block.save(once)
    said = _command("convert", once, "--factors", "pair")
    assert "pairs of factors now" in said
    pairs = onnx.load(tmp_path / "once.pair.onnx")
    assert not identity_blocks_in(load(pairs))
    assert "Split" not in {node.op_type for node in pairs.graph.node}
    assert not any("identity" in prop.value for prop in pairs.metadata_props)
    for ours, theirs in zip(run(pairs, feeds), run(onnx.load(once), feeds), strict=True):
        assert_close(ours, theirs, 1e-5)
    _command("convert", tmp_path / "once.pair.onnx", "--factors", "identity", "-o", once)
    assert identity_blocks_in(load(once)) == identity_blocks_in(block.model)


def test_convert_refuses_what_holds_none(tmp_path):
    asked = ["convert", str(BUNDLED), "--factors", "pair", "-o", str(tmp_path / "out.onnx")]
    with pytest.raises(InputError, match="holds no identity blocks"):
        CliRunner().invoke(cli, asked, catch_exceptions=False, standalone_mode=False)
    asked[3] = "rotated"
    with pytest.raises(InputError, match="holds no pairs of factors"):
        CliRunner().invoke(cli, asked, catch_exceptions=False, standalone_mode=False)
    assert not (tmp_path / "out.onnx").exists()


def test_convert_rotates_pairs_for_other_quantizers(block, feeds, tmp_path):
    once = tmp_path / "once.onnx"
    block.save(once)
    assert "rotated pairs now" in _command("convert", once, "--factors", "rotated")
    rotated = onnx.load(tmp_path / "once.rotated.onnx")
    assert not identity_blocks_in(load(rotated))
    for ours, theirs in zip(run(rotated, feeds), run(onnx.load(once), feeds), strict=True):
        assert_close(ours, theirs, 1e-4)


def test_it_says_not_to_quantize_afterwards(tmp_path):
    out, report = tmp_path / "small.onnx", tmp_path / "small.json"
    arguments = [BUNDLED, "--calib", BUNDLED_DATA, "--samples", "48", "--threads", "1"]
    arguments += ["--weighting", "activation", "-o", out, "--report", report]
    said = _command(*arguments, "--factors", "auto", "--budget", "targets=0.4")
    assert said.splitlines()[-1].endswith(NOTE)
    kept = {prop.key: prop.value for prop in onnx.load(out).metadata_props}
    assert NOTE in kept["pkg.onnx_factorize.identity_blocks"]
    assert json.loads(report.read_text())["command"]["factors"] == "auto"


def test_quantizing_takes_pairs(block):
    made = factorize(
        BUNDLED, BUNDLED_DATA, budget="targets=0.4", factors="auto", quantize="int8", **QUICK
    )
    assert not identity_blocks_in(made.model)
    assert not any("identity" in (layer.form or "") for layer in made.report.layers)
    with pytest.raises(InputError, match="would ruin identity blocks"):
        factorize(BUNDLED, BUNDLED_DATA, factors="identity", quantize="int8", **QUICK)
    with pytest.raises(InputError, match="the command 'onnx-factorize convert'"):
        factorize(block.model, BUNDLED_DATA, quantize="int8", **QUICK)


@pytest.mark.parametrize("svt", ["none", "hard"])
def test_training_ends_in_identity_blocks(svt):
    pytest.importorskip("torch")
    options = QUICK | {"samples": 96, "finetune": True, "epochs": 2, "svt": svt}
    made = factorize(BUNDLED, BUNDLED_DATA, budget="targets=0.4", factors="identity", **options)
    cut = [layer for layer in made.report.layers if layer.status == "factorized"]
    named = {layer.name for layer in cut if "identity block" in layer.form}
    assert named == identity_blocks_in(made.model) != set()
    assert np.isfinite(made.report.divergence["holdout"])
