"""Cotangents at every target of the real models, against finite differences in float64.

A probe is added to each target's output. Moving a group of probes by ±c ḡ / ‖ḡ‖², with random
signs and one c, must change the seeded loss by c · Σ signs: a wrong cotangent of any shows.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from adjoint_harness import Arrays, evaluator, session

from onnx_factorize.passes.adjoint import AppendAdjoint

MODELS = Path(__file__).parents[3] / "models"
pytestmark = pytest.mark.zoo


def load(name: str) -> ir.Model:
    path = MODELS / "cache" / name / "model.onnx"
    if name == "fashion-cnn":
        path = MODELS / "bundled" / "fashion-cnn.onnx"
    if not path.exists():
        pytest.skip(f"{path} is absent: python -m models fetch {name}")
    return ir.load(path)


def constant(value: ir.Value | None) -> bool:
    if value is None:
        return False
    if ir.convenience.get_const_tensor(value) is not None:
        return True
    producer = value.producer()
    return (
        producer is not None
        and producer.op_type in ("Transpose", "Identity", "Cast")
        and constant(producer.inputs[0])
    )


def targets(model: ir.Model) -> list[ir.Value]:
    return [
        node.outputs[0]
        for graph in model.graphs()
        for node in graph
        if node.op_type in ("MatMul", "Gemm", "Conv") and constant(node.inputs[1])
    ]


def cotangents(model: ir.Model, feeds: Arrays, seeds: Arrays) -> dict[str, np.ndarray]:
    graph = model.graph
    wanted = targets(model)
    inputs = {}
    for output in graph.outputs:
        if output.name in seeds:
            seed = ir.Value(name=f"seed.{output.name}", type=output.type)
            graph.inputs.append(seed)
            inputs[output] = seed
    step = AppendAdjoint(inputs, wanted)
    step(model)
    assert not step.unreachable, next(iter(step.unreachable.values()))
    gradients = [step.gradients[value] for value in wanted]
    for gradient in dict.fromkeys(gradients):
        graph.outputs.append(gradient)
    names = [gradient.name for gradient in dict.fromkeys(gradients)]
    given = {**feeds, **{f"seed.{name}": array for name, array in seeds.items()}}
    found = dict(zip(names, session(model).run(names, given), strict=True))
    return {v.name: found[g.name] for v, g in zip(wanted, gradients, strict=True)}


def probed(model: ir.Model) -> ir.Model:
    """Add a probe to each target's output, and turn floats into doubles."""
    for value in targets(model):
        probe = ir.Value(name=f"probe.{value.name}", type=ir.TensorType(ir.DataType.FLOAT))
        model.graph.inputs.append(probe)
        node = value.producer()
        uses = list(value.uses())
        added = ir.node("Add", [value, probe], name=f"probe_node.{value.name}")
        added.outputs[0].name = f"probed.{value.name}"
        for use in uses:
            use.node.replace_input_with(use.idx, added.outputs[0])
        for index, output in enumerate(node.graph.outputs):
            if output is value:
                node.graph.outputs[index] = added.outputs[0]
        node.graph.insert_after(node, added)
    for graph in model.graphs():
        widen(graph)
    return model


def widen(graph: ir.Graph) -> None:
    """Turn the floats of one graph into doubles."""
    for value in graph.initializers.values():
        tensor = value.const_value
        if tensor.dtype == ir.DataType.FLOAT:
            value.const_value = ir.Tensor(tensor.numpy().astype(np.float64), name=value.name)
    for node in graph:
        for key, attr in list(node.attributes.items()):
            if node.op_type == "Cast" and key == "to" and attr.as_int() == 1:
                node.attributes[key] = ir.AttrInt64(key, 11)
            elif attr.type == ir.AttributeType.TENSOR and attr.value.dtype == 1:
                wide = ir.Tensor(attr.value.numpy().astype(np.float64))
                node.attributes[key] = ir.AttrTensor(key, wide)
        for value in node.outputs:
            value.type, value.shape = None, None
    for value in (*graph.inputs, *graph.initializers.values(), *graph.outputs):
        if value.dtype in (None, ir.DataType.FLOAT):
            value.type = ir.TensorType(ir.DataType.DOUBLE)


def feeds_of(name: str, batch: int, size: int) -> Arrays:
    random = np.random.default_rng(batch * 100 + size)
    normal = lambda *shape: random.standard_normal(shape).astype(np.float32)  # noqa: E731
    if name == "minilm":
        mask = np.ones((batch, size), np.int64)
        mask[0, size // 2 :] = 0
        return {"input_ids": random.integers(1000, 9000, (batch, size)), "attention_mask": mask,
                "token_type_ids": np.zeros((batch, size), np.int64)}  # fmt: skip
    if name.startswith("silero"):
        return {"input": 0.1 * normal(batch, size), "state": 0.1 * normal(2, batch, 128),
                "sr": np.array(16000 if size == 576 else 8000)}  # fmt: skip
    if name == "magika":
        return {"bytes": random.integers(0, 256, (batch, 2048)).astype(np.int32)}
    if name == "crepe-tiny":
        return {"frames": normal(batch, 1024)}
    if name == "ppocr-rec":
        return {"x": normal(batch, 3, 48, size)}
    if name == "ppocr-cls":
        return {"x": normal(batch, 3, 48, size)}
    if name == "ppocr-det":  # on noise its outputs are saturated to 1e-8
        pages = np.load(next((MODELS / "cache" / name / "calib").iterdir()))["x"]
        corners = [(i, j) for i in range(0, 400, 16) for j in range(0, 500, 16)]
        crops = [pages[:batch, :, i : i + 64, j : j + size] for i, j in corners]
        return {"x": max(crops, key=lambda crop: min(image.std() for image in crop))}
    side, channels = (224, 3) if name.startswith("efficient") else (28, 1)
    return {"image": normal(batch, channels, side, side)}


GROUP = 6  # targets of similar gradient norm that are probed together

CASES = [
    ("minilm", 2, 7), ("minilm", 1, 12), ("fashion-cnn", 2, 28), ("fashion-cnn", 3, 28),
    ("fashion-resnet", 2, 28), ("fashion-vit", 2, 28), ("fashion-vit", 3, 28), ("magika", 1, 0),
    ("magika", 2, 0), ("crepe-tiny", 2, 0), ("crepe-tiny", 3, 0), ("silero-vad", 1, 576),
    ("silero-vad", 2, 576), ("silero-vad-if", 1, 576), ("silero-vad-if", 2, 288),
    ("ppocr-rec", 1, 40), ("ppocr-rec", 2, 64), ("ppocr-cls", 2, 64), ("ppocr-cls", 1, 96),
    ("ppocr-det", 1, 64), ("ppocr-det", 2, 96), ("efficientnet-lite0", 1, 224),
]  # fmt: skip


@pytest.mark.parametrize(("name", "batch", "size"), CASES)
def test_cotangents_of_every_target(name: str, batch: int, size: int) -> None:
    feeds = feeds_of(name, batch, size)
    plain = session(load(name))
    names = [info.name for info in plain.get_outputs() if info.type == "tensor(float)"]
    feeds = {info.name: feeds[info.name] for info in plain.get_inputs() if info.name in feeds}
    random = np.random.default_rng(0)
    seeds = {
        key: random.standard_normal(array.shape).astype(np.float32)
        for key, array in zip(names, plain.run(names, feeds), strict=True)
    }
    found = cotangents(load(name), feeds, seeds)
    run = evaluator(ir.to_proto(probed(load(name))), reference=True)
    wide = {k: a.astype(np.float64) if a.dtype == np.float32 else a for k, a in feeds.items()}
    norms = {key: float(np.linalg.norm(g.astype(np.float64))) for key, g in found.items()}
    largest = max(norms.values())
    order = sorted((key for key in found if norms[key] > 1e-5 * largest), key=lambda k: norms[k])
    assert len(order) >= len([g for g in found.values() if g.size]) - allowed_silent(name)
    nothing = {f"probe.{key}": np.zeros(1) for key in found}

    def loss(probes: Arrays) -> float:
        values = list(run({**wide, **nothing, **probes}).values())
        outputs = dict(zip([info.name for info in plain.get_outputs()], values, strict=True))
        return float(
            sum((seeds[key] * outputs[key].reshape(seeds[key].shape)).sum() for key in seeds)
        )

    for start in range(0, len(order), GROUP):
        group = order[start : start + GROUP]
        step = 1e-5 * min(norms[key] for key in group)
        signs = {key: 2 * int(random.integers(2)) - 1 for key in group}
        moves = {
            f"probe.{key}": signs[key] * step * found[key].astype(np.float64) / norms[key] ** 2
            for key in group
        }
        rise = loss(moves) - loss({key: -move for key, move in moves.items()})
        error = abs(rise / (2 * step) - sum(signs.values())) / math.sqrt(len(group))
        assert error < 5e-4, f"{name}: {group} off by {error:.1e}"


def allowed_silent(name: str) -> int:
    """Return how many targets may lie behind dead units on random inputs."""
    return 2 if name == "ppocr-det" else 0
