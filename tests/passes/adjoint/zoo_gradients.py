"""The adjoint pass against torch autograd, at every target of the real models.

Each target is judged by itself, by ‖ours - theirs‖ / ‖theirs‖. Run as a script, it prints a table:

    python tests/passes/adjoint/zoo_gradients.py [MODEL ...]
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from adjoint_harness import Arrays, session

import models
from onnx_factorize.passes.adjoint import AppendAdjoint
from onnx_factorize.torch import GraphModule, to_torch

SIZES = {
    "minilm": (7, 12), "magika": (2048,), "crepe-tiny": (1024,), "efficientnet-lite0": (224,),
    "fashion-cnn": (28,), "fashion-resnet": (28,), "fashion-vit": (28,),
    "ppocr-rec": (40, 64), "ppocr-cls": (64, 96), "ppocr-det": (64, 96),
    "silero-vad": (288, 576), "silero-vad-if": (288, 576),
}  # fmt: skip
CASES = [(name, batch, size) for name, sizes in SIZES.items() for batch in (1, 2) for size in sizes]

# Operators whose derivative jumps.
KINKED = {"Clip", "GlobalMaxPool", "HardSigmoid", "MaxPool", "ReduceMax", "Relu"}


@dataclass
class Agreement:
    """Worst relative errors over the targets of a model that the inputs reach.

    Attributes:
        targets: How many there are.
        plain: The adjoint in onnxruntime, float32, against torch in float64.
        pinned: The same, torch taking the branches that float32 took: among a million units one
            may lie so near to a bound of its Clip that rounding decides, which moves all gradients
            before it by 1e-3.
        exact: The adjoint graph itself evaluated in float64, against torch in float64.
    """

    targets: int
    plain: float
    pinned: float
    exact: float


def compare(name: str, batch: int, size: int) -> Agreement:
    """Compare the gradients of one model at every target, for random cotangents of its outputs."""
    path = models.get(name).model_path
    plain = session(ir.load(path))
    given = feeds_of(name, batch, size)
    feeds = {info.name: given[info.name] for info in plain.get_inputs() if info.name in given}
    floats = [info.name for info in plain.get_outputs() if info.type == "tensor(float)"]
    random = np.random.default_rng(0)
    seeds = {
        key: random.standard_normal(array.shape).astype(np.float32)
        for key, array in zip(floats, plain.run(floats, feeds), strict=True)
    }
    model, gradients = with_adjoint(ir.load(path), floats)
    values = kink_inputs(model.graph)
    for value in dict.fromkeys((*gradients.values(), *values)):
        if not value.is_graph_output():
            model.graph.outputs.append(value)
    everything = {**feeds, **{f"seed.{key}": array for key, array in seeds.items()}}
    names = [value.name for value in model.graph.outputs]
    found = dict(zip(names, session(model).run(names, everything), strict=True))
    ours = {target: found[gradient.name] for target, gradient in gradients.items()}

    reference = to_torch(path).double()
    theirs = by_torch(reference, feeds, seeds, list(gradients), {})
    pins = {value.name: found[value.name] for value in values}
    pinned = by_torch(reference, feeds, seeds, list(gradients), pins)
    with torch.no_grad():
        wide = to_torch(model, trainable=[]).double().run(everything).outputs
    exact = {target: wide[gradient.name].numpy() for target, gradient in gradients.items()}
    assert all(ours[target].size == 0 for target in ours.keys() - theirs.keys())
    return Agreement(len(theirs), worst(ours, theirs), worst(ours, pinned), worst(exact, theirs))


def with_adjoint(model: ir.Model, outputs: list[str]) -> tuple[ir.Model, dict[str, ir.Value]]:
    """Seed outputs by inputs ``seed.NAME``, and append the gradients at every target."""
    seeds = {}
    for output in model.graph.outputs:
        if output.name in outputs:
            seeds[output] = ir.Value(name=f"seed.{output.name}", type=output.type)
            model.graph.inputs.append(seeds[output])
    step = AppendAdjoint(seeds, targets(model))
    step(model)
    assert not step.unreachable, next(iter(step.unreachable.values()))
    return model, {value.name or "": gradient for value, gradient in step.gradients.items()}


def targets(model: ir.Model) -> list[ir.Value]:
    """Return the outputs of all operators with a constant weight, factorizable or not."""
    return [
        node.outputs[0]
        for graph in model.graphs()
        for node in graph
        if node.op_type in ("MatMul", "Gemm", "Conv", "ConvTranspose")
        and any(constant(value) for value in node.inputs[:2])
    ]


def constant(value: ir.Value | None) -> bool:
    """Tell whether a value is a weight, perhaps through operators that only move it."""
    if value is None or ir.convenience.get_const_tensor(value) is not None:
        return value is not None
    node = value.producer()
    moved = node is not None and node.op_type in ("Transpose", "Identity", "Cast")
    return moved and node is not None and constant(node.inputs[0])


def kink_inputs(graph: ir.Graph) -> list[ir.Value]:
    """Return the computed values that decide which branch of an operator the main graph takes."""
    nodes = [node for node in graph if node.op_type in KINKED]
    values = dict.fromkeys(node.inputs[0] for node in nodes)
    primal = [v for v in values if v is not None and v.producer() is not None]
    return [v for v in primal if not (v.name or "").startswith("adjoint_")]


def by_torch(
    module: GraphModule, feeds: Arrays, seeds: Arrays, wanted: list[str], pins: Arrays
) -> dict[str, np.ndarray]:
    """Differentiate by torch autograd; pinned values are moved to where float32 put them.

    A value on a bound goes just inside of it: there the adjoint's slope is 1, torch's a half.
    """

    def pin(step: Any, results: Any) -> None:
        for slot, result in zip(step.outputs, results, strict=False):
            array = pins.get(module.name_of(slot)) if slot is not None else None
            if array is not None:
                result.data.copy_(torch.from_numpy(array).double() * (1 - 1e-9))

    run = module.run(feeds, capture=wanted, observe=pin)
    loss = torch.stack([(torch.tensor(seeds[k]) * run.outputs[k]).sum() for k in seeds]).sum()
    taken = {k: v for k, v in run.captured.items() if isinstance(v, torch.Tensor)}
    gradients = torch.autograd.grad(loss, list(taken.values()))
    return {name: g.numpy() for name, g in zip(taken, gradients, strict=True)}


def worst(ours: Mapping[str, np.ndarray], theirs: Mapping[str, np.ndarray]) -> float:
    """Return the largest relative error; a zero gradient must be zero."""
    return max(
        float(np.linalg.norm(ours[name] - truth) / (np.linalg.norm(truth) or 1e-30))
        for name, truth in theirs.items()
    )


def feeds_of(name: str, batch: int, size: int) -> Arrays:
    """Return random inputs, or such as do not saturate the model."""
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
        return {"bytes": random.integers(0, 256, (batch, size)).astype(np.int32)}
    if name == "crepe-tiny":
        return {"frames": normal(batch, size)}
    if name in ("ppocr-rec", "ppocr-cls"):
        return {"x": normal(batch, 3, 48, size)}
    if name == "ppocr-det":  # on noise its outputs are saturated to 1e-8
        pages = np.load(next(models.get(name).calib_path.iterdir()))["x"]
        corners = [(i, j) for i in range(0, 400, 16) for j in range(0, 500, 16)]
        crops = [pages[:batch, :, i : i + 64, j : j + size] for i, j in corners]
        return {"x": max(crops, key=lambda crop: min(image.std() for image in crop))}
    return {"image": normal(batch, 3 if name.startswith("efficient") else 1, size, size)}


def main() -> None:
    """Print the worst errors, a line for each model and size."""
    torch.set_num_threads(1)
    print("model               batch  size  targets    plain   pinned    exact")
    for name, batch, size in CASES:
        if not sys.argv[1:] or name in sys.argv[1:]:
            row = compare(name, batch, size)
            print(
                f"{name:20}{batch:5d}{size:6d}{row.targets:9d}"
                f"{row.plain:9.1e}{row.pinned:9.1e}{row.exact:9.1e}",
                flush=True,
            )


if __name__ == "__main__":
    main()
