"""Reading calibration data: any form, as a stream of batches that fit the model."""

from .batch import Batch
from .data_files import calibration_files
from .dataset import CalibrationData
from .independence import Run
from .inputs import InputSpec, Signature
from .open import Calibration, open_calibration

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
