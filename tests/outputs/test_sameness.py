"""What is chosen by chance does not depend on batches or threads."""

from __future__ import annotations

import numpy as np
import pytest
from builders import BUNDLED, BUNDLED_DATA

from onnx_factorize.calibration import Signature, open_calibration
from onnx_factorize.files import model_io
from onnx_factorize.options import Selection
from onnx_factorize.outputs.kinds_by_graph import output_kinds
from onnx_factorize.outputs.survey import survey
from onnx_factorize.runtime.runtimes.onnx_runtime import OnnxRuntime


def _chosen(batch_size, threads):
    """Places of the samples of both splits, and the folds of those that are calibrated on."""
    dense = model_io.load(BUNDLED)
    session = OnnxRuntime(threads=threads).session(dense)
    selection = Selection(samples=120, batch_size=batch_size, seed=3)
    data = open_calibration(BUNDLED_DATA, Signature.of(dense), selection, run=session.run)
    places = [
        np.concatenate([batch.indices for batch in data.batches(split)])
        for split in ("calibration", "holdout")
    ]
    return [*places, survey(session, output_kinds(dense, {}), data, seed=3).folds]


@pytest.mark.parametrize(("batch_size", "threads"), [(1, 1), (7, 1), (32, 2), (200, 2)])
def test_samples_holdout_and_folds(batch_size, threads):
    usual = _chosen(16, 1)
    for found, wanted in zip(_chosen(batch_size, threads), usual, strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert [len(each) for each in usual] == [96, 24, 96]
    assert len(np.unique(usual[2])) > 1
