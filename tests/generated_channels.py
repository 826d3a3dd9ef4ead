"""Networks of convolutions and of matrix products, drawn at random, whose channels may go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from builders import Arrays
from generated_images import IMAGE_STEPS, Images
from generated_network import Shape
from generated_sequences import SEQUENCE_STEPS, Sequences


def generated(seed: int, opset: int) -> tuple[onnx.ModelProto, Arrays]:
    """A network, and what it is fed with."""
    net: Any
    draw = np.random.default_rng([seed, 1])
    if draw.random() < 0.6:
        net = Images(seed, opset)
        spatial = [8] * int(draw.integers(1, 3))
        shape: Shape = (2, int(draw.integers(2, 5)), *spatial)
        steps = IMAGE_STEPS
    else:
        net = Sequences(seed, opset)
        shape = (2, int(draw.integers(2, 5)), int(draw.integers(3, 7)))
        steps = SEQUENCE_STEPS
    net.shapes["x"] = shape
    x = net.conv("x", net.integer(3, 8)) if isinstance(net, Images) else net.linear("x")
    seen = [x]
    for _ in range(net.integer(3, 9)):
        step: Callable[[Any, str], str] = net.pick(steps)
        x = step(net, x if net.chance(0.85) else net.pick(seen))
        seen.append(x)
    outputs = [net.head(x)]
    if net.chance(0.15):
        outputs.append(net.op("Identity", [net.pick(seen)], net.shapes[x]))
        net.shapes[outputs[1]] = net.shapes[net.nodes[-1].input[0]]
    declared: list[Any] = ["n", *shape[1:]]
    proto = net.model(shape, declared, outputs)
    return proto, {"x": net.rng.standard_normal(shape).astype(np.float32)}
