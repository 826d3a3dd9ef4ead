"""Graph passes: they know graphs, and do no statistics and no input or output.

Each pass is an `onnx_ir.passes.InPlacePass` in a file of its own.
"""

from .clean_up import CleanUp
from .differentiate import Differentiate
from .find_downstream import FindDownstream
from .find_targets import FindTargets
from .isolate import isolated
from .keep_outputs import KeepOutputs
from .normalize import LiftWeights
from .observe import Observe, ObserveShapes, Side
from .provenance import Provenance, history, sign
from .recognize_outputs import Kind, OutputKind, RecognizeOutputs
from .rewrite import Rewrite
from .rewrite_conv import RewriteConv
from .rewrite_gemm import RewriteGemm
from .rewrite_matmul import RewriteMatMul
from .rewrite_targets import RewriteTargets
from .rewrite_variants import RewriteVariants
from .sample_labels import GivenLabels, OutputSeed
from .target import Convolution, Factors, Skipped, Target
from .unique_names import UniqueNodeNames

__all__ = [
    "CleanUp",
    "Convolution",
    "Differentiate",
    "Factors",
    "FindDownstream",
    "FindTargets",
    "GivenLabels",
    "KeepOutputs",
    "Kind",
    "LiftWeights",
    "Observe",
    "ObserveShapes",
    "OutputKind",
    "OutputSeed",
    "Provenance",
    "RecognizeOutputs",
    "Rewrite",
    "RewriteConv",
    "RewriteGemm",
    "RewriteMatMul",
    "RewriteTargets",
    "RewriteVariants",
    "Side",
    "Skipped",
    "Target",
    "UniqueNodeNames",
    "history",
    "isolated",
    "sign",
]
