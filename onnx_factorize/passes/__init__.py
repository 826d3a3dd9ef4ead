"""Graph passes: they know graphs, and do no statistics and no input or output.

Each pass is an `onnx_ir.passes.InPlacePass` in a file of its own.
"""

from . import operators as _operators  # noqa: F401 - registers them
from .add_shifts import AddShifts
from .begin_at import BeginAt, end_before
from .clean_up import CleanUp
from .count_products import CountProducts
from .cuts import RestoreMarks, record, sign
from .differentiate import Differentiate
from .drop_tiny import DropTiny
from .expose_selection import ExposeSelection, selects, upstream
from .find_caches import Cache, FindCaches, with_lengths
from .find_constants import FindConstants
from .find_downstream import FindDownstream
from .find_state import FindState
from .find_targets import FindTargets
from .fix_draws import DRAWS, FixDraws, fixed_draws, random_nodes
from .isolate import isolated
from .keep_outputs import KeepOutputs, with_outputs
from .linear.convolution import Convolution
from .linear.factors import Chain, Factors
from .linear.multiplications import Term
from .linear.operator_spec import OperatorSpec
from .linear.provenance import Provenance, history
from .linear.registry import every_operator, operator_of, spec_of, title_of
from .linear.rewrite import Rewrite
from .linear.target import Skipped, Target, TiedGroup
from .linear.unfoldings import OWN, Unfolding
from .normalize import LiftWeights
from .observe import Observe, Side
from .observe_ranks import ObserveRanks, note
from .observe_sizes import ObserveSizes, Sized
from .recognize_outputs import Kind, OutputKind, RecognizeOutputs
from .rewrite_targets import RewriteTargets
from .rotate_factors import RotateFactors
from .seed_outputs import OutputSeed, SeedInputs, SeedOutputs
from .separate_unfoldings import SeparateUnfoldings
from .sort_nodes import SortNodes
from .unique_names import UniqueNodeNames

__all__ = [
    "DRAWS",
    "OWN",
    "AddShifts",
    "BeginAt",
    "Cache",
    "Chain",
    "CleanUp",
    "Convolution",
    "CountProducts",
    "Differentiate",
    "DropTiny",
    "ExposeSelection",
    "Factors",
    "FindCaches",
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
    "ObserveSizes",
    "OperatorSpec",
    "OutputKind",
    "OutputSeed",
    "Provenance",
    "RecognizeOutputs",
    "RestoreMarks",
    "Rewrite",
    "RewriteTargets",
    "RotateFactors",
    "SeedInputs",
    "SeedOutputs",
    "SeparateUnfoldings",
    "Side",
    "Sized",
    "Skipped",
    "SortNodes",
    "Target",
    "Term",
    "TiedGroup",
    "Unfolding",
    "UniqueNodeNames",
    "end_before",
    "every_operator",
    "fixed_draws",
    "history",
    "isolated",
    "note",
    "operator_of",
    "random_nodes",
    "record",
    "selects",
    "sign",
    "spec_of",
    "title_of",
    "upstream",
    "with_lengths",
    "with_outputs",
]
