"""What holds for every weighting that is registered, and how another is added."""

from __future__ import annotations

import json
import re

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from builders import BUNDLED, BUNDLED_DATA, ROOT, found, model, normal
from commands import main_of

from onnx_factorize import InputError, factorize
from onnx_factorize.allocation.analysis import analyze
from onnx_factorize.calibration import Signature, open_calibration
from onnx_factorize.factorization.weighting import Spectra, Weighting
from onnx_factorize.factorization.weightings import (
    get_weighting,
    register,
    registry,
    weighting_names,
)
from onnx_factorize.options import Selection
from onnx_factorize.outputs import survey
from onnx_factorize.passes import OutputKind
from onnx_factorize.runtime.runtimes.onnx_runtime import OnnxRuntime
from onnx_factorize.statistics.calibration_run import CalibrationRun

# A narrow and a wide product, a convolution, two that read one value, and one that never runs.
GRAPH = """(float[n, 3, 6, 6] x, bool go) => (float[n, 5] y) {
    [conv] c = Conv <kernel_shape = [3, 3]> (x, w, b)
    r = Relu (c)
    f = Flatten (r)
    [narrow] h = Gemm (f, u, d)
    t = Tanh (h)
    [left] l = MatMul (t, v)
    [right] m = MatMul (t, z)
    s = Add (l, m)
    a = Tanh (s)
    never = If (go) <then_branch = yes () => (float[n, 12] p) { [idle] p = MatMul (a, q) },
        else_branch = no () => (float[n, 12] o) { o = Identity (a) }>
    [last] y = MatMul (never, e)
}"""
WEIGHTS = {
    "w": normal(1, 8, 3, 3, 3) / 5,
    "b": normal(2, 8),
    "u": normal(3, 8 * 16, 8) / 10,
    "d": normal(4, 8),
    "v": normal(5, 8, 12) / 3,
    "z": normal(6, 8, 12) / 3,
    "q": normal(7, 12, 12) / 3,
    "e": normal(8, 12, 5) / 3,
}


@pytest.fixture(scope="module")
def observed():
    graph, finder = found(ir.from_proto(model(GRAPH, WEIGHTS)))
    data = open_calibration(
        [{"x": normal(9, 48, 3, 6, 6), "go": np.array(False)}],
        Signature.of(graph),
        Selection(holdout=0.0),
        run=OnnxRuntime().session(graph).run,
    )
    kinds = {"y": OutputKind("categorical", -1, "logit")}
    surveyed = survey(OnnxRuntime().session(graph), kinds, data)
    return CalibrationRun(graph, finder.targets, data, surveyed, OnnxRuntime(threads=1))


@pytest.mark.parametrize("name", weighting_names())
def test_it_says_what_it_is(name):
    weighting = get_weighting(name)
    assert isinstance(weighting, Weighting)
    assert weighting.name == name
    assert weighting.literature
    assert weighting.unit in ("nats", "relative")
    assert set(weighting.beside) <= set(weighting_names()) - {name}


@pytest.mark.parametrize("name", weighting_names())
def test_spectra_give_the_weight_back(observed, name):
    weighting = get_weighting(name)
    run = observed.of([target for target in observed.targets if weighting.covers(target)])
    gathered = weighting.gather(run)
    spectra = Spectra(gathered.statistics)
    ran = [target for target in run.targets if target.name != "idle"]
    assert all(gathered.ran(target) for target in ran)
    for target, spectrum in zip(ran, spectra.each(ran, weighting), strict=True):
        assert spectrum is spectra.of(target, weighting)
        assert spectrum.squares.shape == (target.full_rank,)
        assert (spectrum.squares >= 0).all()
        assert (np.diff(spectrum.squares) <= 1e-9 * spectrum.energy).all()
        down, up = spectrum.truncated(target.full_rank)
        np.testing.assert_allclose(down @ up, target.matrices(), atol=1e-6)
        down, up = spectrum.truncated(2)
        assert down.shape == (target.groups, target.rows, 2)
        assert up.shape == (target.groups, 2, target.columns)


@pytest.mark.parametrize("name", weighting_names())
def test_losses_fall_to_zero(observed, name):
    analysis = analyze(observed, get_weighting(name))
    first = analysis.candidates[0]
    assert first.weighting is analysis.weighting is get_weighting(name)
    for target in observed.targets:
        if target.name in analysis.never_ran:
            assert target.name == "idle"
            assert target.name not in first.losses
            continue
        losses = first.losses[target.name]
        assert losses.shape == (target.full_rank + 1,)
        assert (np.diff(losses) <= 0).all()
        assert losses[0] > 0 == losses[-1]
        if analysis.weighting.unit == "relative":
            assert losses[0] == pytest.approx(1.0)


@pytest.mark.parametrize("name", weighting_names())
def test_it_runs_from_end_to_end(name):
    # Uniform ranks try no other plans: what is asked of the weighting is the same.
    options = {"budget": "targets=0.6", "samples": 32, "threads": 1, "ranks": "uniform"}
    report = factorize(BUNDLED, BUNDLED_DATA, weighting=name, **options).report
    assert report.command["weighting"] == name
    assert report.divergence["loss_unit"] == get_weighting(name).unit
    assert any(layer.status == "factorized" for layer in report.layers)


@pytest.fixture
def toy(monkeypatch):
    """The example of the page on extending, registered for one test."""
    monkeypatch.setattr(registry, "_WEIGHTINGS", dict(registry._WEIGHTINGS))
    page = (ROOT / "docs" / "development" / "extending.md").read_text(encoding="utf-8")
    section = re.search(r"## A weighting\n(.*?)\n## ", page, re.DOTALL).group(1)
    (example,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    assert len(example.splitlines()) <= 40
    exec(compile(example, "docs/development/extending.md", "exec"), {"__name__": "toy"})
    return get_weighting("toy")


def test_the_example_is_used_by_the_default_command(toy, tmp_path, monkeypatch, capsys):
    result, report, page = (tmp_path / name for name in ("small.onnx", "r.json", "r.html"))
    arguments = [str(BUNDLED), "--calib", str(BUNDLED_DATA), "-o", str(result)]
    arguments += ["--weighting", "toy", "--budget", "targets=0.5", "--samples", "48"]
    arguments += ["--threads", "1", "--report", str(report), "--report", str(page)]
    code, _, error = main_of(arguments, monkeypatch, capsys)
    assert code == 0, error
    made = json.loads(report.read_text())
    assert made["command"]["weighting"] == "toy"
    assert made["divergence"]["loss_unit"] == toy.unit == "relative"
    assert "weighting toy" in page.read_text()
    metadata = {entry.key: entry.value for entry in onnx.load(result).metadata_props}
    assert any("--weighting toy" in value for value in metadata.values())
    other = factorize(
        BUNDLED, BUNDLED_DATA, weighting="activation", budget="targets=0.5", samples=48, threads=1
    )
    assert made["divergence"]["holdout"] != other.report.divergence["holdout"]


@pytest.mark.usefixtures("toy")
def test_the_example_is_where_thresholding_starts():
    pytest.importorskip("torch")
    result = factorize(
        BUNDLED,
        BUNDLED_DATA,
        weighting="toy",
        budget="targets=0.1",
        samples=32,
        threads=1,
        finetune=True,
        svt="hard",
        epochs=2,
    )
    assert result.report.command["weighting"] == "toy"
    assert result.report.finetune["svt"]


def test_names_are_unique_and_unknown_ones_are_refused(toy):
    assert register(type(toy)) is type(toy)
    assert "toy" in weighting_names()
    with pytest.raises(ValueError, match="already"):
        register(type("Other", (type(toy),), {}))
    with pytest.raises(InputError, match=r"no weighting 'best'; use one of .*fisher"):
        get_weighting("best")
