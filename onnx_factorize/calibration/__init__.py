"""Reading calibration data: any form, as a stream of batches that fit the model."""

from .batch import Batch
from .dataset import CalibrationData
from .independence import Run
from .inputs import InputSpec, Signature
from .open import Calibration, calibration_files, open_calibration

__all__ = [
    "Batch",
    "Calibration",
    "CalibrationData",
    "InputSpec",
    "Run",
    "Signature",
    "calibration_files",
    "open_calibration",
]
