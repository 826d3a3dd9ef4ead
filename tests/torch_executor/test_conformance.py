"""The official node tests: every one passes, or is listed with its reason."""

from __future__ import annotations

import collections
import functools
import warnings

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from torch_executor.devices import DEVICES
from torch_executor.listed import RANDOM, REFUSED, ROUNDED

torch = pytest.importorskip("torch")

from onnx_factorize.torch import UnsupportedError, to_torch  # noqa: E402
from onnx_factorize.torch.devices import full_precision  # noqa: E402

REFUSED_NAMES = {name for names in REFUSED.values() for name in names}


@functools.cache
def cases():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case.node import collect_testcases  # noqa: PLC0415 - it warns

        found = collections.defaultdict(list)
        for case in collect_testcases(None):
            found[case.name.split("_")[1]].append(case)
    return dict(found)


def array(value):
    if isinstance(value, onnx.TensorProto):
        return onnx.numpy_helper.to_array(value)
    if isinstance(value, onnx.SequenceProto):
        return onnx.numpy_helper.to_list(value)
    if isinstance(value, onnx.OptionalProto):
        return onnx.numpy_helper.to_optional(value)
    if isinstance(value, list):
        return [array(element) for element in value]
    return None if value is None else np.asarray(value)


def compare(found, expected, case):
    if isinstance(expected, list):
        assert isinstance(found, list)
        assert len(found) == len(expected)
        for a, b in zip(found, expected, strict=True):
            compare(a, b, case)
        return
    if expected is None:
        assert found is None
        return
    assert found.shape == expected.shape
    if expected.dtype.kind in "OSU":
        assert (found == expected).all()
        return
    assert found.dtype == expected.dtype
    if case.name in RANDOM:
        return
    atol = max(case.atol, ROUNDED.get(case.name, 0))
    if expected.dtype.kind != "c":
        found, expected = found.astype(np.float64), expected.astype(np.float64)
    np.testing.assert_allclose(found, expected, rtol=case.rtol, atol=atol)


def run(case, device):
    module = to_torch(ir.from_proto(case.model)).to(device)
    names = [value.name for value in case.model.graph.input]
    for given, wanted in case.data_sets:
        feeds = {name: array(value) for name, value in zip(names, given, strict=True)}
        with full_precision(device):
            outputs = module.numpy(module.run(feeds).outputs)
        for output, value in zip(case.model.graph.output, wanted, strict=True):
            compare(outputs[output.name], array(value), case)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("group", cases())
def test_official_node_tests(group, device):
    wrong = []
    for case in cases()[group]:
        try:
            run(case, device)
        except UnsupportedError as refusal:
            if case.name not in REFUSED_NAMES:
                wrong.append(f"{case.name}: {refusal}")
        except Exception as error:
            wrong.append(f"{case.name}: {type(error).__name__} {error}")
        else:
            if case.name in REFUSED_NAMES:
                wrong.append(f"{case.name} is listed as refused, and passes")
    assert not wrong, "\n".join(wrong)


def test_what_is_listed_exists_and_is_listed_once():
    names = {case.name for group in cases().values() for case in group}
    listed = [*REFUSED_NAMES, *RANDOM, *ROUNDED]
    assert len(listed) == len(set(listed))
    assert set(listed) <= names
    assert len(names) - len(listed) >= 1450
