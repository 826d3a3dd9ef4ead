"""Reading calibration data: any form, as a stream of batches that fit the model."""

from .batch import Batch
from .dataset import CalibrationData, Selection
from .masks import MaskMeaning
from .open import Calibration, calibration_files, open_calibration
from .signature import InputSpec, Signature
from .sources import ImageOptions

__all__ = [
    "Batch",
    "Calibration",
    "CalibrationData",
    "ImageOptions",
    "InputSpec",
    "MaskMeaning",
    "Selection",
    "Signature",
    "calibration_files",
    "open_calibration",
]
