"""Graph passes: they know graphs, and do no statistics and no input or output.

Each pass is an `onnx_ir.passes.InPlacePass` in a file of its own.
"""

from .clean_up import CleanUp
from .differentiate import Differentiate
from .find_targets import FindTargets
from .normalize import LiftWeights
from .observe import Observe, ObserveShapes
from .recognize_outputs import Kind, OutputKind, RecognizeOutputs
from .rewrite import Rewrite
from .rewrite_conv import RewriteConv
from .rewrite_gemm import RewriteGemm
from .rewrite_matmul import RewriteMatMul
from .sample_labels import OutputSeed
from .target import Convolution, Factors, Skipped, Target

__all__ = [
    "CleanUp",
    "Convolution",
    "Differentiate",
    "Factors",
    "FindTargets",
    "Kind",
    "LiftWeights",
    "Observe",
    "ObserveShapes",
    "OutputKind",
    "OutputSeed",
    "RecognizeOutputs",
    "Rewrite",
    "RewriteConv",
    "RewriteGemm",
    "RewriteMatMul",
    "Skipped",
    "Target",
]
