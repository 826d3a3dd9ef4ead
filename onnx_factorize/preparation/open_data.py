"""Calibration data as a model wants them."""

from __future__ import annotations

import onnx_ir as ir

from ..calibration import Calibration, CalibrationData, Signature, open_calibration
from ..options import FileOptions, Options
from ..outputs.caches import but_caches, run_caches
from ..runtime.free_memory import memory_of
from ..runtime.runtimes import runtime_of

__all__ = ["open_data"]


def open_data(calibration: Calibration, dense: ir.Model, options: Options) -> CalibrationData:
    """Opens calibration data, and checks on the model what is assumed of them.

    Args:
        calibration: The data.
        dense: The model.
        options: How data are read and chosen, and how the model runs.
    """
    runtime = runtime_of(options.runtime)
    return open_calibration(
        calibration,
        Signature.of(dense),
        options.selection,
        FileOptions(options.images, options.texts),
        run=runtime.session(dense, but_caches(dense)).run,
        run_caches=run_caches(dense, runtime),
        batch_axis=options.batch_axis,
        mask=options.mask,
        memory=memory_of(options.memory),
    )
