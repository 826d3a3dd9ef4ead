"""What narrowing must give: the dense graph with nothing in the place of channels that are gone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
from builders import Arrays, session

from onnx_factorize.passes import LiftWeights
from onnx_factorize.passes.linear.target import target_of
from onnx_factorize.passes.narrowing import ChannelGroup, FindChannels, NarrowChannels

Indices = npt.NDArray[np.int64]


def channels(proto: onnx.ModelProto | ir.Model) -> tuple[ir.Model, FindChannels]:
    """The normalised model and the channels in it."""
    model = proto.clone() if isinstance(proto, ir.Model) else ir.from_proto(proto)
    LiftWeights()(model)
    finder = FindChannels()
    finder(model)
    return model, finder


def only(proto: onnx.ModelProto) -> ChannelGroup:
    """The one group of channels that a model has."""
    _, finder = channels(proto)
    assert len(finder.groups) == 1, (finder.groups, finder.refused)
    return finder.groups[0]


def reasons(proto: onnx.ModelProto) -> dict[str, str]:
    """Why channels stay, by the name of the first operator that computes them."""
    return {each.name: each.reason for each in channels(proto)[1].refused}


def mask(group: ChannelGroup, kept: Indices) -> None:
    """Makes the readers' weights zero for channels that go."""
    gone = np.setdiff1d(np.arange(group.width), kept)
    for reader in group.readers:
        target, weight = target_of(reader.layer), reader.layer.weight
        matrices = target.matrices()
        matrices[:, reader.rows[gone].reshape(-1)] = 0
        assert weight.const_value is not None
        stored = target.stored(matrices).astype(weight.const_value.numpy().dtype)
        weight.const_value = ir.tensor(stored, name=weight.name)


def narrow(proto: onnx.ModelProto | ir.Model, kept: Mapping[str, Indices]) -> ir.Model:
    """A model with some channels of its groups, checked by onnx."""
    model = proto.clone() if isinstance(proto, ir.Model) else ir.from_proto(proto)
    NarrowChannels(kept)(model)
    onnx.checker.check_model(ir.to_proto(model))
    return model


def error(
    proto: onnx.ModelProto | ir.Model, kept: Mapping[str, Any], feeds: Arrays
) -> tuple[float, ir.Model]:
    """The distance of a narrowed model from the masked dense one, relative, and the former."""
    dense, finder = channels(proto)
    groups = {group.name: group for group in finder.groups}
    for name in kept:
        mask(groups[name], np.asarray(kept[name]))
    narrowed = narrow(dense, kept)
    expected, got = (session(each).run(None, feeds) for each in (dense, narrowed))
    worst = 0.0
    for one, other in zip(expected, got, strict=True):
        scale = np.abs(one).max() if one.size else 1.0
        worst = max(worst, float(np.abs(one.astype(np.float64) - other).max() / (scale or 1.0)))
    return worst, narrowed
