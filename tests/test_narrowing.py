"""Narrowing end to end: fewer channels in the Lagrangian, in the file, and in the report."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from builders import BUNDLED, BUNDLED_DATA, model, normal, timing
from click.testing import CliRunner

from onnx_factorize import factorize, inspect, meet_goal, pipeline
from onnx_factorize.cli.main import cli
from onnx_factorize.errors import BudgetError, InputError
from onnx_factorize.goals import timings
from onnx_factorize.passes.narrowing import narrowed

FEW = {"samples": 96, "threads": 1, "effort": "low"}
NORMAL = FEW | {"effort": "normal"}


@pytest.fixture(scope="module")
def only():
    return factorize(BUNDLED, BUNDLED_DATA, budget="params=0.5", narrow="only", **FEW)


def test_only_channels_go_and_layers_stay_ordinary(only, tmp_path):
    layers = only.report.layers
    assert {layer.status for layer in layers} <= {"narrowed", "kept"}
    changed = [layer for layer in layers if layer.status == "narrowed"]
    assert changed
    assert all(layer.params[1] < layer.params[0] for layer in changed)
    assert all("channels" in layer.form for layer in changed)
    assert all(layer.macs[1] < layer.macs[0] for layer in changed)
    costs = only.report.model
    assert costs["compressed"].params <= 0.5 * costs["dense"].params
    only.save(tmp_path / "small.onnx")
    saved = onnx.load(tmp_path / "small.onnx")
    onnx.checker.check_model(saved, full_check=True)
    dense = onnx.load(BUNDLED)
    assert [n.op_type for n in saved.graph.node] == [n.op_type for n in dense.graph.node]
    assert [n.name for n in saved.graph.node] == [n.name for n in dense.graph.node]
    assert saved.graph.input == dense.graph.input
    assert saved.graph.output == dense.graph.output


def test_the_figures_of_the_report_are_those_of_the_graph(only):
    weights = {n: v.const_value.size for n, v in only.model.graph.initializers.items()}
    by_node = {node.name: node for node in only.model.graph}
    for layer in only.report.layers:
        node = by_node[layer.name]
        assert weights[node.inputs[1].name] == layer.params[1]
    marks = {node.name: narrowed(node) for node in only.model.graph if narrowed(node)}
    assert marks
    for name, mark in marks.items():
        assert by_node[name].inputs[1].const_value.shape[0] == len(mark.kept) < mark.width


def test_nothing_is_narrowed_where_that_is_off():
    result = factorize(BUNDLED, BUNDLED_DATA, budget="params=0.5", narrow="off", **NORMAL)
    assert not any(layer.status == "narrowed" for layer in result.report.layers)
    assert "without narrowing" not in result.report.divergence["tried"]


def test_by_itself_it_is_a_plan_beside_those_of_factors():
    result = factorize(BUNDLED, BUNDLED_DATA, budget="params=0.5", **NORMAL)
    assert {"without narrowing", "narrowing alone"} & set(result.report.divergence["tried"])


def test_a_narrowed_model_can_be_narrowed_again(only):
    again = factorize(only.model, BUNDLED_DATA, budget="params=0.7", narrow="only", **FEW)
    dense, small = (again.report.model[key].params for key in ("dense", "compressed"))
    assert small <= 0.7 * dense
    marks = [narrowed(node) for node in again.model.graph]
    # Channels are counted by those that the first model had.
    widths = {mark.width for mark in marks if mark}
    assert widths
    assert widths <= {32, 64, 128, 256}


def test_inspect_reads_what_was_narrowed(only):
    assert inspect(only.model).history["options"].startswith("--budget params=0.5")


def test_what_channels_alone_cannot_reach_is_said():
    with pytest.raises(BudgetError, match="cannot be met"):
        factorize(BUNDLED, BUNDLED_DATA, budget="params=0.0001", narrow="only", **FEW)


def test_a_word_that_is_none_gets_a_sentence():
    with pytest.raises(InputError, match="narrow is auto, off or only, not 'some'"):
        factorize(BUNDLED, BUNDLED_DATA, narrow="some", **FEW)


@pytest.mark.parametrize("options", [{"weighting": "activation"}, {"ranks": "uniform"}])
def test_only_channels_need_losses_of_the_whole(options):
    with pytest.raises(InputError, match="needs losses of the whole model"):
        factorize(BUNDLED, BUNDLED_DATA, narrow="only", **FEW, **options)


def test_a_model_without_channels_says_so(mlp):
    data = {"x": np.random.default_rng(0).normal(size=(64, 24)).astype(np.float32)}
    with pytest.raises(InputError, match="can be narrowed"):
        factorize(mlp, [data], narrow="only", exclude=["first"], threads=1)


def test_the_command_line_narrows(tmp_path):
    report = tmp_path / "report.json"
    arguments = [str(BUNDLED), "--calib", str(BUNDLED_DATA), "--samples", "64", "--threads", "1"]
    arguments += ["-o", str(tmp_path / "m.onnx"), "--report", str(report), "--effort", "low"]
    told = CliRunner().invoke(cli, [*arguments, "--narrow", "only", "--budget", "targets=0.6"])
    assert told.exit_code == 0, told.output
    assert "narrowed" in told.output
    found = json.loads(report.read_text())
    assert found["command"]["narrow"] == "only"
    assert {layer["status"] for layer in found["layers"]} <= {"narrowed", "kept"}


@pytest.mark.parametrize("svt", ["none", "soft"])
def test_narrowed_models_are_trained(svt):
    pytest.importorskip("torch")
    options = {"finetune": True, "epochs": 2, "svt": svt} | FEW | {"samples": 160}
    narrow = "only" if svt == "none" else "auto"
    result = factorize(BUNDLED, BUNDLED_DATA, budget="params=0.4", narrow=narrow, **options)
    assert result.report.finetune["after"] <= result.report.finetune["before"]
    assert np.isfinite(result.report.divergence["holdout"])


def test_reports_and_inspect_list_channels(only):
    rows = only.report.channels
    every = {"node_Conv_25": 32, "node_Conv_26": 64, "node_Conv_27": 128, "node_linear": 256}
    free = {row["name"]: row["width"] for row in rows if row["reason"] is None}
    dear = {row["name"] for row in rows if "--effort low pays" in (row["reason"] or "")}
    assert free.items() <= every.items()
    assert free.keys() | dear == every.keys()
    gone = [row for row in rows if row["kept"] and row["kept"] < row["width"]]
    assert gone
    assert all(row["loss"] >= 0 and row["reads"] and row["computes"] for row in gone)
    (output,) = [row for row in inspect(BUNDLED).channels if row["reason"]]
    assert output["name"] == "node_linear_1"
    assert output["reason"] == "they are an output, 'logits'"
    told = CliRunner().invoke(cli, ["inspect", str(BUNDLED)])
    assert "4 groups of channels can be narrowed: node_Conv_25 32" in told.output
    assert "the channels of 'node_linear_1' stay: they are an output" in told.output


@pytest.mark.usefixtures("time_is_weights")
def test_narrowed_layers_have_the_milliseconds_that_are_left(monkeypatch):
    """On a machine on which a thousand weights take a millisecond, they are those of weights."""

    def clock(sessions, *_, **__):
        return timing(390.0, *([230.0] if len(sessions) == 2 else []))

    for module in (pipeline, timings, meet_goal):
        monkeypatch.setattr(module, "latencies", clock)
    options = FEW | {"effort": "normal"}
    report = factorize(BUNDLED, BUNDLED_DATA, budget="latency=0.6", narrow="only", **options).report
    changed = [layer for layer in report.layers if layer.status == "narrowed"]
    assert changed
    for layer in changed:
        left = layer.params[1] / layer.params[0]
        assert layer.ms[1] / layer.ms[0] == pytest.approx(left, rel=0.02)  # but for biases


STAY = {
    "normed": "LayerNormalization 'l' normalizes over them",
    "tied": "shares its weight 'w_value' with other operators",
    "again": "shares its weight 'w_value_1' with other operators",
    "shaped": "Reshape gives them a shape that is not read",
    "out": "they are an output, 'y'",
}


def test_what_stays_has_a_reason_in_inspect_and_in_the_report():
    proto = model(
        """(float[n, 3, 12] x) => (float[n, 3, 6] y) {
            [normed] a = MatMul (x, wn) [l] b = LayerNormalization (a, s)
            [first] c = MatMul (b, w1) d = Relu (c) [tied] e = MatMul (d, w) f = Relu (e)
            [again] g = MatMul (f, w) [shaped] h = MatMul (g, wh) i = Reshape (h, odd)
            j = Softmax <axis = -1> (i) k = Reshape (j, back) [mid] m = MatMul (k, wm)
            o = Relu (m) [out] y = MatMul (o, wo)
        }""",
        {
            "wn": normal(0, 12, 16),
            "s": normal(1, 16),
            "w1": normal(2, 16, 16),
            "w": normal(3, 16, 16),
            "wh": normal(4, 16, 16),
            "odd": np.array([-1, 4, 12]),
            "back": np.array([-1, 3, 16]),
            "wm": normal(5, 16, 16),
            "wo": normal(6, 16, 6),
        },
    )
    data = [{"x": normal(7, 96, 3, 12)}]
    report = factorize(proto, data, budget="targets=0.8", **NORMAL)
    for rows in (inspect(proto).channels, report.report.channels):
        reasons = {row["name"]: row["reason"] for row in rows if row["reason"]}
        assert {name: reasons.get(name) for name in STAY} == STAY
        assert "mid" in {row["name"] for row in rows if row["reason"] is None}


def test_what_memory_does_not_hold_stays_with_a_reason():
    options = {"samples": 96, "threads": 1, "effort": "high", "memory": "32MB"}
    report = factorize(BUNDLED, BUNDLED_DATA, budget="params=0.5", **options).report
    reasons = {row["name"]: row["reason"] for row in report.channels}
    assert "--memory" in reasons["node_Conv_27"]
    assert reasons["node_Conv_25"] is None
