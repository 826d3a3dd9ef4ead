"""ONNX graphs in torch: an executor that trains, and the way back into the same graph.

Only this subpackage imports torch; nothing else of the package imports this one until it is needed.
"""

from .check import check_against_onnxruntime
from .errors import DeviationError, ExecutionError, UnsupportedError
from .module import GraphModule, Run, to_torch
from .schedule import Schedule
from .svt import SVT, Record
from .svt_target import SVTTarget
from .whitened_gradient import WhitenedGradient
from .whitening import Whitening
from .write_back import write_back

__all__ = [
    "SVT",
    "DeviationError",
    "ExecutionError",
    "GraphModule",
    "Record",
    "Run",
    "SVTTarget",
    "Schedule",
    "UnsupportedError",
    "WhitenedGradient",
    "Whitening",
    "check_against_onnxruntime",
    "to_torch",
    "write_back",
]
