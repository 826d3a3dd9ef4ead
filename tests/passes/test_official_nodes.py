"""The official ONNX node tests of linear operators, their weights made initializers.

Each operand that may hold a weight is tried in turn; what is a target must compute what it
computed, rewritten at full rank, and what is none must have a reason.
"""

from __future__ import annotations

import collections
import functools

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from builders import assert_close, check, found, run, svd_factors
from onnx.backend.test.case.node import collect_testcases
from onnx.reference import ReferenceEvaluator

from onnx_factorize.errors import InputError
from onnx_factorize.files.model_io import load
from onnx_factorize.passes import RewriteTargets, every_operator
from onnx_factorize.passes.linear.weight_inputs import UNTREATED, weight_inputs

OPERATORS = {spec.op_type for spec in every_operator() if not spec.domain} | set(UNTREATED)


@functools.cache
def _cases():
    cases = []
    for case in collect_testcases(None):
        if case.model is None or len(case.model.graph.node) != 1:
            continue
        node = case.model.graph.node[0]
        if node.op_type in OPERATORS and node.domain == "":
            cases.append(case)
    return cases


def _with_weight(case, index):
    """The model with one input made an initializer, and the feeds that are left."""
    proto = onnx.ModelProto()
    proto.CopyFrom(case.model)
    names = [value.name for value in proto.graph.input]
    inputs = dict(zip(names, case.data_sets[0][0], strict=True))
    name = proto.graph.node[0].input[index]
    if not isinstance(inputs.get(name), np.ndarray):
        return None
    del proto.graph.input[names.index(name)]
    proto.graph.initializer.append(onnx.numpy_helper.from_array(inputs.pop(name), name))
    return proto, inputs


def _runner(proto, feeds):
    """onnxruntime, or ONNX's reference where that does not implement the dense operator."""
    try:
        run(proto, feeds)
    except Exception:  # onnxruntime raises types of its own
        return lambda model: ReferenceEvaluator(model).run(None, feeds)
    return lambda model: run(model, feeds)


def _outcome(proto, feeds):
    """`done`, or the reason why the weight is no target."""
    runner = _runner(proto, feeds)
    wanted = runner(proto)
    normal, finder = found(load(proto))
    factors = {t.name: svd_factors(t, t.full_rank) for t in finder.targets}
    for given in (normal, load(proto)):
        RewriteTargets(factors)(given)
        for actual, value in zip(runner(check(given)), wanted, strict=True):
            assert_close(actual, value, 1e-3 if value.dtype == np.float16 else 1e-5)
    if finder.targets:
        return "done"
    if proto.graph.node[0].op_type == "Gather" and not finder.skipped:
        return "is a list of numbers, not a table"
    return finder.skipped[0].reason


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # those of the official cases themselves
def test_official_nodes(capsys):
    counts: collections.Counter[str] = collections.Counter()
    failed = []
    for case in _cases():
        node = ir.from_proto(case.model.graph.node[0])
        for index in weight_inputs(node):
            made = _with_weight(case, index)
            if made is None:
                continue
            try:
                counts[_outcome(*made)] += 1
            except (AssertionError, InputError, onnx.checker.ValidationError) as error:
                failed.append(f"{case.name}, operand {index}: {error!r}")
        if not weight_inputs(node):
            counts["only moves values"] += 1
    with capsys.disabled():
        done = counts.pop("done", 0)
        print(
            f"\n{len(_cases())} official node tests: {done} weights factorized, "
            f"{sum(counts.values())} skipped, {len(failed)} failed"
        )
        for reason, count in counts.most_common():
            print(f"  {count:3} {reason}")
    assert not failed, "\n".join(failed)
    assert done > 30
