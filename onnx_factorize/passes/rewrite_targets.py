"""Put factors into a model: everything that a result needs, in order."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import onnx_ir as ir

from ..graph.names import Namer
from .clean_up import CleanUp
from .factors import Factors
from .find_targets import FindTargets
from .normalize import LiftWeights
from .rewrite import Rewrite
from .rewrite_conv import RewriteConv
from .rewrite_embedding import RewriteGather
from .rewrite_gemm import RewriteGemm
from .rewrite_matmul import RewriteMatMul
from .rewrite_variants import find_variants, rewrite_variant
from .share_factors import ShareFactors
from .target import Target
from .unfoldings import OWN, UNFOLDINGS

__all__ = ["RewriteTargets"]


# Embeddings first: what shares their table reads its factors transposed, and they as they are.
_FIRST = (RewriteGather,)
_LAST = (RewriteMatMul, RewriteGemm, RewriteConv)


class RewriteTargets(ir.passes.InPlacePass):
    """Rewrites targets by their factors, and leaves all else in the model as it is.

    The model may be the user's, or the one that `LiftWeights` made of it for calibration: targets
    have the same names in both. The user's gives the better graph. Targets are found once, however
    many are rewritten.
    """

    def __init__(self, factors: Mapping[str, Factors]) -> None:
        """Initializes the pass.

        Args:
            factors: The factors of each target to rewrite, by name.
        """
        operators = {each.operator or name for name, each in factors.items()}
        self._operators: Collection[str] = operators
        self._parts: Iterable[Mapping[str, Factors]] = (factors,) if factors else ()
        self._after: Callable[[ir.Model], None] = lambda _: None

    @classmethod
    def in_parts(
        cls,
        parts: Iterable[Mapping[str, Factors]],
        operators: Collection[str],
        after: Callable[[ir.Model], None],
    ) -> RewriteTargets:
        """The pass with factors that are not all in memory at once.

        Args:
            parts: The factors of some targets each: asked for one after the other.
            operators: The names of the operators that all of them belong to.
            after: Called with the model after each part.
        """
        made = cls({})
        made._parts, made._operators, made._after = parts, operators, after
        return made

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Runs the pass."""
        modified = LiftWeights(only=self._operators)(model).modified
        finder = FindTargets()
        finder(model)
        found = {target.name: target for target in finder.uses}
        variants = find_variants(model, self._operators)
        names = Namer(model)
        first = [rewrite(model, names) for rewrite in _FIRST]
        last = [rewrite(model, names) for rewrite in _LAST]
        for factors in self._parts:
            targets = [target for name, target in found.items() if name in factors]
            rest = [target for target in targets if target.node.op_type != RewriteGather.op_type]
            _rewrite(first, targets, factors)
            for name, (node, variant) in variants.items():
                if name in factors:
                    rewrite_variant(model, names, node, variant, factors[name])
            _rewrite(last, rest, factors)
            self._after(model)
            modified = True
        ShareFactors()(model)
        CleanUp()(model)
        return ir.passes.PassResult(model, modified=modified)


def _rewrite(
    rewrites: Sequence[Rewrite], targets: Iterable[Target], factors: Mapping[str, Factors]
) -> None:
    jobs = [(r, t) for r in rewrites for t in targets if t.node.op_type == r.op_type]
    # By unfolding, and longer chains last: so initializers stand in one order in every version.
    places = {unfolding: place for place, unfolding in enumerate((OWN, *UNFOLDINGS))}
    order = {t: (factors[t.name].chain is not None, places[t.unfolding.name]) for _, t in jobs}
    jobs.sort(key=lambda job: (rewrites.index(job[0]), order[job[1]]))
    for rewrite, target in jobs:
        rewrite(target, factors[target.name])
