"""Put factors into a model: everything that a result needs, in order."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import onnx_ir as ir

from ..graph.names import Namer
from .clean_up import CleanUp
from .find_targets import FindTargets
from .linear.factors import Factors
from .linear.operator_spec import OperatorSpec
from .linear.registry import every_operator, spec_of
from .linear.target import Target
from .linear.unfoldings import OWN, UNFOLDINGS
from .normalize import LiftWeights
from .rewrite_variants import find_variants, rewrite_variant
from .share_factors import ShareFactors

__all__ = ["RewriteTargets"]


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
        self._after: Callable[[Sequence[ir.Value]], None] = lambda _: None

    @classmethod
    def in_parts(
        cls,
        parts: Iterable[Mapping[str, Factors]],
        operators: Collection[str],
        after: Callable[[Sequence[ir.Value]], None],
    ) -> RewriteTargets:
        """The pass with factors that are not all in memory at once.

        Args:
            parts: The factors of some targets each: asked for one after the other.
            operators: The names of the operators that all of them belong to.
            after: Called after each part with the constants of the main graph that it made.
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
        plain = {spec.name: spec.plain for spec in every_operator() if spec.plain is not None}
        rewrites = {name: each.rewrite(model, names) for name, each in plain.items()}
        known = len(model.graph.initializers)
        for factors in self._parts:
            jobs = _jobs(found, factors)
            for spec, target in jobs:
                if plain[spec.name].turn < 0:
                    rewrites[spec.name](target, factors[target.name])
            for name, (node, variant) in variants.items():
                if name in factors:
                    rewrite_variant(model, names, node, variant, factors[name])
            for spec, target in jobs:
                if plain[spec.name].turn >= 0:
                    rewrites[spec.name](target, factors[target.name])
            self._after(list(model.graph.initializers.values())[known:])
            known = len(model.graph.initializers)
            modified = True
        ShareFactors()(model)
        CleanUp()(model)
        return ir.passes.PassResult(model, modified=modified)


def _jobs(
    targets: Mapping[str, Target], factors: Mapping[str, Factors]
) -> list[tuple[OperatorSpec, Target]]:
    """The targets to rewrite, with what each is, in order: operators take turns.

    Of those by unfolding, and longer chains last: so initializers stand in one order in every
    version.
    """
    places = {name: place for place, name in enumerate((OWN, *UNFOLDINGS))}

    def order(job: tuple[OperatorSpec, Target]) -> tuple[int, bool, int]:
        spec, target = job
        assert spec.plain is not None
        chained = factors[target.name].chain is not None
        return spec.plain.turn, chained, places[target.unfolding.name]

    wanted = [target for name, target in targets.items() if name in factors]
    found = [(spec_of(target.node), target) for target in wanted]
    return sorted(((spec, t) for spec, t in found if spec is not None), key=order)
