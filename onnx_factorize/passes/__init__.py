"""Graph passes: they know graphs, and do no statistics and no input or output.

Each pass is an `onnx_ir.passes.InPlacePass` in a file of its own.
"""

from .begin_at import BeginAt, EndBefore
from .clean_up import CleanUp
from .convolution import Convolution
from .count_products import CountProducts
from .cuts import RestoreMarks, record, sign
from .differentiate import Differentiate
from .drop_tiny import DropTiny
from .expose_selection import ExposeSelection, upstream
from .factors import Chain, Factors
from .find_constants import FindConstants
from .find_downstream import FindDownstream
from .find_state import FindState
from .find_targets import FindTargets
from .fix_draws import DRAWS, FixDraws, fixed_draws, random_nodes
from .isolate import isolated
from .keep_outputs import KeepOutputs, with_outputs
from .multiplications import Term
from .normalize import LiftWeights
from .observe import Observe, Side
from .observe_ranks import ObserveRanks, note
from .provenance import Provenance, history
from .recognize_outputs import Kind, OutputKind, RecognizeOutputs
from .rewrite import Rewrite
from .rewrite_conv import RewriteConv
from .rewrite_targets import RewriteTargets
from .seed_outputs import OutputSeed, SeedInputs, SeedOutputs
from .separate_unfoldings import SeparateUnfoldings
from .sort_nodes import SortNodes
from .target import Skipped, Target, TiedGroup
from .titles import title_of
from .unfoldings import OWN, Unfolding
from .unique_names import UniqueNodeNames

__all__ = [
    "DRAWS",
    "OWN",
    "BeginAt",
    "Chain",
    "CleanUp",
    "Convolution",
    "CountProducts",
    "Differentiate",
    "DropTiny",
    "EndBefore",
    "ExposeSelection",
    "Factors",
    "FindConstants",
    "FindDownstream",
    "FindState",
    "FindTargets",
    "FixDraws",
    "KeepOutputs",
    "Kind",
    "LiftWeights",
    "Observe",
    "ObserveRanks",
    "OutputKind",
    "OutputSeed",
    "Provenance",
    "RecognizeOutputs",
    "RestoreMarks",
    "Rewrite",
    "RewriteConv",
    "RewriteTargets",
    "SeedInputs",
    "SeedOutputs",
    "SeparateUnfoldings",
    "Side",
    "Skipped",
    "SortNodes",
    "Target",
    "Term",
    "TiedGroup",
    "Unfolding",
    "UniqueNodeNames",
    "fixed_draws",
    "history",
    "isolated",
    "note",
    "random_nodes",
    "record",
    "sign",
    "title_of",
    "upstream",
    "with_outputs",
]
