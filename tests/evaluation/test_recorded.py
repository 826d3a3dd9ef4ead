"""Answers that are kept."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from builders import model, normal

from onnx_factorize.calibration import Signature, open_calibration
from onnx_factorize.evaluation import Recorded
from onnx_factorize.options import Selection
from onnx_factorize.runtime.runtimes.onnx_runtime import OnnxRuntime


def test_answers_have_memory_of_their_own_and_no_more_than_there_is_for_them():
    graph = ir.from_proto(model("(float[n, 4] x) => (float[n, 4] y) { y = Relu (x) }"))
    data = open_calibration([{"x": normal(1, 40, 4)}], Signature.of(graph), Selection(batch_size=8))
    session = OnnxRuntime(threads=1).session(graph)
    every = Recorded.of(session, data.batches("calibration"))
    assert [batch.samples for batch in every.batches] == [8, 8, 8, 8]
    assert all(answer["y"].base is None for answer in every.answers)
    for batch, answer in zip(every.batches, every.answers, strict=True):
        np.testing.assert_array_equal(answer["y"], np.maximum(batch.feeds["x"], 0))
    few = Recorded.of(session, data.batches("calibration"), most=8 * 4 * 4)
    assert len(few.answers) == 2
