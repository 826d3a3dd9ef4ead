"""Find the operators that can be factorized, and say why the others cannot."""

from __future__ import annotations

from collections.abc import Iterable

import onnx_ir as ir

from ..graph import scopes
from ._bodies import ITERATED, unobservable
from ._names import linear_names
from .linear.marks import shared_weight, source_of
from .linear.module_path import module_path
from .linear.provenance import origin_name, provenance_of
from .linear.registry import spec_of
from .linear.sharing import asked_once
from .linear.target import Skipped, Target, target_of
from .linear.weight_inputs import is_hidden, untreated_reason, weight_inputs
from .linear.weights import DEQUANTIZED, constants_behind
from .tie_weights import joined
from .variants import variant_of

__all__ = ["FindTargets"]


class FindTargets(ir.passes.InPlacePass):
    """Collects targets and skipped operators; the model is only read.

    A node is a target when all of this holds:

    - it is a plain operator that is registered: a MatMul with a 2-D constant on the right, a Gemm
      with a constant `B`, a Conv with a constant kernel of more than one input channel a group, or
      a Gather of rows of a constant matrix (what else there is, `LiftWeights` brings into one of
      these shapes);
    - the constant is an initializer that no caller can replace and no other node reads, in a
      floating-point type;
    - it stands where its input can be observed: in the main graph, in branches of If, in bodies
      of Scan, and in those of Loop where values keep their shapes;
    - it is not itself part of an operator that was factorized before;
    - some rank makes it smaller.

    Targets that read one weight are one, with the others tied to it: all of them, or none.

    Attributes:
        targets: The targets in graph order, names unique.
        skipped: Every other operator that holds linear weights, or could, with the reason.
        names: The name of every linear operator, as targets are named.
        listed: The constants that targets and skipped operators hold, or the names of those that
            several share.
    """

    def __init__(self) -> None:
        self.targets: list[Target] = []
        self.skipped: list[Skipped] = []
        self.names: dict[ir.Node, str] = {}

    @asked_once
    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Runs the pass on the main graph, every subgraph and every function."""
        self.targets, self.skipped = [], []
        self.names = linear_names(model)
        self.listed: set[ir.Value | str] = set()
        self._left: dict[str, str] = {}
        self._chains: dict[str, list[ir.Node]] = {}
        for scope, owners in scopes(model.graph):
            repeated = any(owner.op_type in ITERATED for owner in owners)
            self._visit(model, scope, unobservable(owners), repeated=repeated)
        for function in model.functions.values():
            reason = (
                f"stands in the model-local function '{function.name}', which cannot be inlined "
                "(another opset, or a graph among its attributes)"
            )
            for scope, _ in scopes(function.graph):
                self._visit(model, scope, reason)
        self._join()
        taken = set(self.names.values())
        self.targets = [target.unfolded(taken) for target in self.targets]
        for origin, nodes in self._chains.items():
            self._skip_chain(origin, nodes)
        return ir.passes.PassResult(model, modified=False)

    def _visit(
        self,
        model: ir.Model,
        scope: Iterable[ir.Node],
        blocked: str | None,
        *,
        repeated: bool = False,
    ) -> None:
        for node in scope:
            # What ends a chain may be a Concat.
            if node not in self.names and provenance_of(node) is None:
                continue
            if origin_name(node) is not None:
                self._chains.setdefault(str(origin_name(node)), []).append(node)
                continue
            found = untreated_reason(node) or blocked or _find(model, node, self.names[node])
            if isinstance(found, Target) and found.transposed_input and repeated:
                found = "reads a transposed input in a body that is run several times"
            if isinstance(found, Target):
                self.targets.append(found)
                self.listed.add(source_of(found.weight))
            else:
                self._skip(node, found)

    @property
    def uses(self) -> list[Target]:
        """The targets, all that are tied to them, and further unfoldings."""
        return [use for target in self.targets for use in (*target.uses, *target.unfoldings)]

    def _join(self) -> None:
        """Makes one target of those that share a weight, or leaves all of them dense."""
        sharing: dict[str, list[Target]] = {}
        for target in self.targets:
            shared = shared_weight(target.weight)
            if shared is not None:
                sharing.setdefault(shared.name, []).append(target)
        found: dict[ir.Node, Target | None] = {}
        for root, targets in sharing.items():
            one = joined([target.layer for target in targets])
            if root in self._left:
                one = f"shares its weight with '{self._left[root]}', which is no target"
            found |= dict.fromkeys(target.node for target in targets)
            if isinstance(one, Target):
                found[targets[0].node] = one
            else:
                for target in targets:
                    self._skip(target.node, one)
        all_of = [found.get(target.node, target) for target in self.targets]
        self.targets = [target for target in all_of if target is not None]

    def _skip(self, node: ir.Node, reason: str) -> None:
        spec = spec_of(node)
        if spec is not None and not spec.is_listed(node):
            return
        for index in weight_inputs(node):
            weight = node.inputs[index] if index < len(node.inputs) else None
            shared = None if weight is None else shared_weight(weight)
            if shared is not None:
                self._left.setdefault(shared.name, self.names[node])
        hidden = is_hidden(node) or reason == DEQUANTIZED
        params = self._params(node)
        name, module = self.names[node], module_path(node)
        self.skipped.append(
            Skipped(name, node.op_type, params, reason, counted=hidden, module=module)
        )

    def _params(self, node: ir.Node) -> int:
        """Elements of the weights of an operator, without those that an earlier one listed."""
        total = 0
        for index in weight_inputs(node):
            if index < len(node.inputs):
                for value, size in constants_behind(node.inputs[index]).items():
                    listed = source_of(value)
                    total += size if listed not in self.listed else 0
                    self.listed.add(listed)
        return total

    def _skip_chain(self, origin: str, nodes: list[ir.Node]) -> None:
        """Lists the factors of an operator that was factorized before as one."""
        made = next((p for p in map(provenance_of, nodes) if p is not None), None)
        operator = made.operator if made is not None else nodes[-1].op_type
        rank = f" ({made.form}, rank {made.rank} of {made.full_rank})" if made is not None else ""
        self.skipped.append(
            Skipped(
                origin,
                operator,
                sum(self._params(node) for node in nodes),
                f"was factorized before{rank}: it is left as it is",
                made,
                module=module_path(nodes[-1]),
            )
        )


def _find(model: ir.Model, node: ir.Node, name: str) -> Target | str:
    """A node as a target, or the reason why it is none."""
    spec, refusal = spec_of(node), variant_of(model, node)
    if refusal is not None:
        return refusal if isinstance(refusal, str) else "is not normalised"
    assert spec is not None
    assert spec.plain is not None
    found = spec.plain.find(model, node, name)
    return found if isinstance(found, str) else _checked(target_of(found))


def _checked(target: Target) -> Target | str:
    """The target, unless even rank 1 is no smaller than the dense weight."""
    if target.factor_params(1) >= target.params:
        return f"no rank makes a {target.rows} x {target.columns} weight smaller"
    return target
