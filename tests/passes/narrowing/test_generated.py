"""Generated networks compute the same with channels masked and with channels gone."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from builders import session
from generated_channels import generated
from narrowed_channels import channels, mask, narrow

OPSETS = (7, 11, 13, 18, 21)


def check(seed: int, opset: int) -> None:
    """Narrows a network at random widths, in the user's graph and in the normalised one."""
    proto, feeds = generated(seed, opset)
    dense, finder = channels(proto)
    rng = np.random.default_rng([seed, 2])
    kept = {}
    for group in finder.groups:
        if rng.random() < 0.8:
            count = rng.integers(1, group.width + 1)
            kept[group.name] = np.sort(rng.permutation(group.width)[:count])
            mask(group, kept[group.name])
    expected = session(dense).run(None, feeds)
    for source in (dense, ir.from_proto(proto)):
        made = narrow(source, kept)
        for one, other in zip(expected, session(made).run(None, feeds), strict=True):
            assert one.shape == other.shape
            assert np.abs(one - other).max(initial=0) <= 1e-5 * np.abs(one).max(initial=0)
    every = {group.name: np.arange(group.width) for group in finder.groups}
    whole = narrow(proto, every)
    assert ir.to_proto(whole).SerializeToString() == _same(proto).SerializeToString()


def _same(proto: onnx.ModelProto) -> onnx.ModelProto:
    return ir.to_proto(ir.from_proto(proto))


def _runs(seed: int, opset: int) -> bool:
    """Tells whether onnxruntime takes the dense network: it refuses some sizes of Resize."""
    proto, feeds = generated(seed, opset)
    try:
        session(proto).run(None, feeds)
    except Exception:
        return False
    return True


@pytest.mark.parametrize("seed", range(15))
def test_networks_without_channels_are_those_with_them_masked(seed):
    opset = OPSETS[seed % len(OPSETS)]
    if _runs(seed, opset):
        check(seed, opset)


@pytest.mark.long
@pytest.mark.parametrize("first", range(0, 2000, 100))
def test_thousands_of_networks(first):
    for seed in range(first, first + 100):
        opset = OPSETS[seed % len(OPSETS)]
        if _runs(seed, opset):
            check(seed, opset)
