"""Budgets of time of another device, bought from a profile."""

from __future__ import annotations

import copy
import json
import pathlib

import numpy as np
import pytest
from builders import BUNDLED, BUNDLED_DATA
from commands import main_of
from latency_kits import clocked, results_of

from onnx_factorize import InputError, Options, Progress, factorize
from onnx_factorize.curve import Curve
from onnx_factorize.latency_kit import write_check, write_kit
from onnx_factorize.runtime import this_machine
from onnx_factorize.runtime.latency_profile import Checked, LatencyProfile, Subject

QUICK = {"samples": 64, "threads": 1, "weighting": "activation"}


@pytest.fixture(scope="module")
def kit(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kit") / "kit"
    options = Options.of(threads=1, samples=64)
    write_kit(BUNDLED, folder, options, Progress(), BUNDLED_DATA, with_dense=True)
    return folder


@pytest.fixture
def nobody_times(monkeypatch):
    """This machine is not asked."""
    monkeypatch.setattr(this_machine, "time_fed", lambda *_: pytest.fail("is timed"))


def _profile(kit, tmp_path, clock=clocked, change=lambda _: None):
    found = results_of(kit, clock)
    change(found)
    path = tmp_path / "results.json"
    path.write_text(json.dumps(found))
    return str(path)


def _saved(report):
    return sum(layer.ms[0] - layer.ms[1] for layer in report.layers if layer.ms)


@pytest.mark.usefixtures("nobody_times")
def test_a_budget_is_bought_from_a_profile(kit, tmp_path):
    """On a device where time is weights, half of the time is half of the weights."""
    made = factorize(
        BUNDLED, BUNDLED_DATA, budget="latency=0.5", latency_profile=_profile(kit, tmp_path),
        **QUICK,
    )  # fmt: skip
    latency = made.report.latency
    assert latency["measured"] is None
    assert latency["predicted"] == pytest.approx(0.5, abs=0.02)
    assert latency["profile"]["device"] == "a board"
    assert made.report.model["compressed"].params == pytest.approx(0.5 * 390412, rel=0.03)
    assert 1 - _saved(made.report) / 390.0 == pytest.approx(latency["predicted"])
    absolute = factorize(
        BUNDLED, BUNDLED_DATA, budget="latency=195ms", latency_profile=_profile(kit, tmp_path),
        **QUICK,
    )  # fmt: skip
    assert absolute.report.latency["predicted"] == pytest.approx(latency["predicted"])


@pytest.mark.usefixtures("nobody_times")
@pytest.mark.parametrize("budget", ["latency=0.6", "targets=0.6"])
def test_what_cannot_run_there_or_is_slower_is_not_taken(kit, tmp_path, budget):
    """Neither where time is the budget nor where it only must not grow."""

    def clock(name, model):
        if any(node.name == "node_linear.down" for node in model.graph):
            return {"error": "NOT_IMPLEMENTED"}
        slow = any(node.name == "node_Conv_27.down" for node in model.graph)
        return clocked(name, model, 1e6 if slow else 1.0)

    asked = {**QUICK, "budget": budget, "best_effort": True, "form": "channel"}
    profile = _profile(kit, tmp_path, clock)
    made = factorize(BUNDLED, BUNDLED_DATA, latency_profile=profile, **asked)
    cut = {layer.name for layer in made.report.layers if layer.status == "factorized"}
    assert cut
    assert not cut & {"node_linear", "node_Conv_27"}
    if budget.startswith("targets"):
        assert made.report.latency is None
        by_size = factorize(
            BUNDLED, BUNDLED_DATA, latency_profile=profile, prefer="size", **asked
        )  # fmt: skip
        assert "node_linear" in {x.name for x in by_size.report.layers if x.status == "factorized"}


@pytest.mark.usefixtures("nobody_times")
def test_what_the_kit_does_not_hold_stays_dense(kit, tmp_path):
    def forget(found):
        found["kit"]["families"] = [
            family
            for family in found["kit"]["families"]
            if not any(label.startswith("node_linear") for label in family["labels"])
        ]

    profile = _profile(kit, tmp_path, change=forget)
    asked = {**QUICK, "budget": "latency=0.7", "best_effort": True}
    made = factorize(BUNDLED, BUNDLED_DATA, latency_profile=profile, **asked)
    cut = {layer.name for layer in made.report.layers if layer.status != "kept"}
    assert cut
    assert not {name for name in cut if name.startswith("node_linear")}


@pytest.mark.usefixtures("nobody_times")
def test_channels_are_narrowed_by_a_profile(kit, tmp_path):
    """Where cuts are slow and fewer channels fast, channels go; where those fail, none does."""

    def clock(name, model):
        cut = any(node.name.endswith(".down") for node in model.graph)
        return clocked(name, model, 1e6 if cut else 1.0)

    def without_channels(found):
        for family in found["kit"]["families"]:
            if family["key"].startswith("channels"):
                for name in family["files"][1:]:
                    found["entries"][name] = {"error": "no"}

    asked = {"samples": 64, "threads": 1, "budget": "latency=0.7", "best_effort": True}
    for change, narrowed in ((lambda _: None, True), (without_channels, False)):
        profile = _profile(kit, tmp_path, clock, change)
        made = factorize(BUNDLED, BUNDLED_DATA, latency_profile=profile, **asked)
        status = {layer.status for layer in made.report.layers}
        assert ("narrowed" in status) == narrowed
        assert "factorized" not in status


def test_a_check_corrects_the_next(kit, tmp_path):
    """Cuts save half of what operators tell: the second model is bought by that."""
    asked = {**QUICK, "budget": "latency=0.7"}
    profile = _profile(kit, tmp_path)
    first = factorize(BUNDLED, BUNDLED_DATA, latency_profile=profile, **asked)
    first.save(tmp_path / "small.onnx")
    options = Options.of(threads=1, samples=64)
    small = [tmp_path / "small.onnx"]
    write_check(BUNDLED, small, tmp_path / "check", options, Progress(), BUNDLED_DATA)

    def halved(name, _):
        return {"p50": 390.0 if name == "dense.onnx" else 390.0 * 0.85}

    found = results_of(tmp_path / "check", halved)
    saved = found["kit"]["whole"]["models"][1]["saved"]
    assert 1 - sum(saved) == pytest.approx(first.report.latency["predicted"])
    (tmp_path / "second.json").write_text(json.dumps(found))
    both = [profile, str(tmp_path / "second.json")]
    second = factorize(BUNDLED, BUNDLED_DATA, latency_profile=both, **asked)
    assert second.report.latency["predicted"] == pytest.approx(0.7, abs=0.02)
    assert 0.5 * sum(second.report.latency["saved"]) == pytest.approx(0.3, rel=0.1)
    assert second.report.latency["tried"][0]["measured"] == pytest.approx(0.85)
    first.model.metadata_props.clear()
    first.save(tmp_path / "nameless.onnx")
    with pytest.raises(InputError, match="not made with --latency-profile"):
        write_check(BUNDLED, [tmp_path / "nameless.onnx"], tmp_path / "no", options, Progress())
    assert not (tmp_path / "no").exists()


CHANGES = {
    "is of b.onnx, and not of this model": ("kit", "model", {"digest": "0", "name": "b.onnx"}),
    "was measured with --threads 4, and this run has --threads 1": ("conditions", "threads", 4),
    "of a kit that onnx-factorize 0.0 made": ("kit", "version", "0.0"),
    "of a model of opset 9": ("kit", "opset", 9),
    "is of format 99": (None, "schema", 99),
    "holds no results of a latency kit": (None, "what", "a shopping list"),
    "does not tell what the dense model takes": (None, "whole", []),
    "is damaged": (None, "entries", None),
}  # fmt: skip


@pytest.mark.parametrize("message", CHANGES)
def test_a_profile_of_something_else_is_refused(kit, tmp_path, monkeypatch, capsys, message):
    part, key, value = CHANGES[message]

    def change(found):
        (found if part is None else found[part])[key] = value

    profile = _profile(kit, tmp_path, change=change)
    argv = [str(BUNDLED), "--calib", str(BUNDLED_DATA), "--budget", "latency=0.5", "--threads", "1"]
    argv += ["--latency-profile", profile, "-o", str(tmp_path / "small.onnx"), "-q"]
    code, _, said = main_of(argv, monkeypatch, capsys)
    assert code == 1
    assert said.startswith(f"onnx-factorize: {profile} ")
    assert message in said
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "small.onnx").exists()


@pytest.mark.parametrize("content", [None, "", "[]", "{", "[" * 100_000])
def test_files_that_hold_nothing(tmp_path, content):
    path = tmp_path / "results.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=r"results.json (cannot be read|holds no results)"):
        LatencyProfile.load([path], Subject("", 20, 1))


def test_checks_of_another_device_are_refused(kit, tmp_path):
    first = json.loads(pathlib.Path(_profile(kit, tmp_path)).read_text())
    other = copy.deepcopy(first)
    other["conditions"]["device"] = "a phone"
    paths = [tmp_path / "a.json", tmp_path / "b.json"]
    for path, found in zip(paths, (first, other), strict=True):
        path.write_text(json.dumps(found))
    kit_of = first["kit"]
    subject = Subject(kit_of["model"]["digest"], kit_of["opset"], 1)
    with pytest.raises(InputError, match="another device: profiles"):
        LatencyProfile.load(paths, subject)


def test_a_budget_that_the_device_cannot_meet(kit, tmp_path, monkeypatch, capsys):
    profile = _profile(kit, tmp_path)
    argv = [str(BUNDLED), "--calib", str(BUNDLED_DATA), "--budget", "latency=0.0001"]
    argv += ["--latency-profile", profile, "--threads", "1", "--weighting", "activation", "-q"]
    argv += ["-o", str(tmp_path / "small.onnx"), "--samples", "64"]
    code, _, said = main_of(argv, monkeypatch, capsys)
    assert code == 3
    assert "cannot be met on a board (a runtime 1)" in said


def test_sizes_that_cannot_run_are_no_holes():
    curve = Curve(4.0, (8, 16, 32), (1.0, np.inf, 3.0))
    np.testing.assert_allclose(curve.at(np.array([4, 8, 12, 16, 24, 32])), [1, 1, *[np.inf] * 3, 3])


def test_checked_models_without_a_time_are_left_out(kit, tmp_path):
    def change(found):
        models = found["kit"]["whole"]["models"]
        models += [{"file": "a", "saved": [0.1, 0.2]}, {"file": "b", "saved": [0.3, 0.0]}]
        found["whole"] += [{"error": "no"}, {"p50": 195.0}]

    path = _profile(kit, tmp_path, change=change)
    found = json.loads((tmp_path / "results.json").read_text())["kit"]
    profile = LatencyProfile.load([path], Subject(found["model"]["digest"], found["opset"], 1))
    assert profile.checked == (Checked((0.3, 0.0), 0.5),)
