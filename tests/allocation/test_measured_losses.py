"""Where no gradient reaches a target, the divergence of one cut gives the scale of its losses."""

from __future__ import annotations

import numpy as np
import pytest
from builders import BUNDLED, BUNDLED_DATA

from onnx_factorize.allocation import measured_losses
from onnx_factorize.allocation.measured_losses import MeasuredLosses
from onnx_factorize.evaluation import compare_outputs
from onnx_factorize.factorization.losses import relative_losses
from onnx_factorize.factorization.rewriting import rewritten
from onnx_factorize.options import Options
from onnx_factorize.outputs import output_kinds, survey
from onnx_factorize.pipeline import calibrated
from onnx_factorize.progress import Progress
from onnx_factorize.runtime.runtimes.onnx_runtime import OnnxRuntime
from onnx_factorize.statistics.calibration_run import CalibrationRun

RUNTIME = OnnxRuntime(threads=1)


@pytest.fixture(scope="module")
def known():
    options = Options.of(budget="targets=0.5", samples=40, threads=1, weighting="activation")
    return calibrated(BUNDLED, BUNDLED_DATA, options, Progress())


def _run(known):
    session, kinds = RUNTIME.session(known.dense), output_kinds(known.dense, {})
    surveyed = survey(session, kinds, known.data, 0, lambda _: None)
    return CalibrationRun(known.normal, known.targets, known.data, surveyed, RUNTIME)


def test_the_scale_is_the_divergence_of_the_model_that_is_cut(known, monkeypatch):
    monkeypatch.setattr(measured_losses, "_SAMPLES", known.data.calibration_samples)
    run = _run(known)
    statistics = known.analysis.statistics
    measuring = MeasuredLosses(run, statistics)
    outputs = run.surveyed.outputs
    for target in known.targets:
        spectrum = known.analysis.spectrum(target, known.analysis.candidates[0])
        found = measuring.of(target, spectrum)
        rank = target.params // target.factor_params(2)
        cut = {target.name: rank}, {target.name: spectrum}, statistics
        model = rewritten(known.normal, [target], *cut)
        pair = (RUNTIME.session(each, list(outputs)) for each in (known.normal, model))
        wanted = compare_outputs(*pair, outputs, known.data, "calibration").divergence
        assert found[rank] == pytest.approx(wanted, rel=1e-3)
        np.testing.assert_allclose(found / found[0], relative_losses(spectrum), rtol=1e-9)


def test_the_dense_model_is_run_once(known, monkeypatch):
    run, loaded = _run(known), []
    original = OnnxRuntime.load
    monkeypatch.setattr(OnnxRuntime, "load", lambda *a: loaded.append(1) or original(*a))
    measuring = MeasuredLosses(run, known.analysis.statistics)
    for target in known.targets:
        measuring.of(target, known.analysis.spectrum(target, known.analysis.candidates[0]))
    assert len(loaded) == 1


def test_what_there_is_no_time_to_measure_gets_the_scale_of_the_others(known):
    run, (first, second, *_) = _run(known), known.targets
    measuring = MeasuredLosses(run, known.analysis.statistics)
    spectra = [known.analysis.spectrum(t, known.analysis.candidates[0]) for t in (first, second)]
    found = measuring.of(first, spectra[0])
    scale = found[0] / relative_losses(spectra[0])[0]
    np.testing.assert_allclose(
        measuring.like_others(spectra[1]), scale * relative_losses(spectra[1]), rtol=1e-9
    )
