"""Compare the adjoint pass in onnxruntime with torch autograd: time and peak memory.

Both sides run the model forward and compute the gradients with respect to the output of every
Linear and Conv layer, from a given cotangent of the model's output; neither computes gradients of
weights. One thread, medians of CPU time over interleaved rounds; peak memory (growth of the
resident set over that before the first run) in a fresh process a side.

    python -m benchmarks.gradient [--rounds N] [resnet18] [minilm]
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import torch
from torch import nn

from onnx_factorize.passes.adjoint import AppendAdjoint

Arrays = dict[str, np.ndarray]
BARS = {"minilm": 0.75, "resnet18": 0.9}


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    def __init__(self, inner: int, outer: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inner, outer, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outer)
        self.conv2 = nn.Conv2d(outer, outer, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outer)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inner != outer:
            projection = nn.Conv2d(inner, outer, 1, stride, bias=False)
            self.shortcut = nn.Sequential(projection, nn.BatchNorm2d(outer))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the block's output."""
        y = torch.relu(self.norm1(self.conv1(x)))
        return torch.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


class ResNet18(nn.Module):
    """The architecture of He et al. 2015, table 1, with random weights."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.norm = nn.BatchNorm2d(64)
        self.pool = nn.MaxPool2d(3, 2, 1)
        widths = [64, 64, 128, 128, 256, 256, 512, 512]
        inner = [64, *widths[:-1]]
        self.blocks = nn.Sequential(
            *(Block(i, o, 1 if i == o else 2) for i, o in zip(inner, widths, strict=True))
        )
        self.head = nn.Linear(512, 1000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        x = self.pool(torch.relu(self.norm(self.conv(x))))
        logits: torch.Tensor = self.head(self.blocks(x).mean((2, 3)))
        return logits


class Encoder(nn.Module):
    """The architecture of all-MiniLM-L6-v2 without its pooler, with random weights."""

    def __init__(self) -> None:
        super().__init__()
        from transformers import AutoModel, BertConfig  # noqa: PLC0415 - an optional dependency

        config = BertConfig(
            hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536
        )
        auto: Any = AutoModel  # not typed throughout
        self.encoder = auto.from_config(
            config, attn_implementation="eager", add_pooling_layer=False
        )

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Return the last hidden state."""
        found = self.encoder(input_ids=input_ids, attention_mask=attention_mask)
        hidden: torch.Tensor = found.last_hidden_state
        return hidden


def build(name: str) -> tuple[nn.Module, Arrays, tuple[dict[int, Any], ...]]:
    """Return a model, its feeds, and its dynamic axes."""
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    if name == "resnet18":
        image = random.standard_normal((8, 3, 224, 224)).astype(np.float32)
        return ResNet18().eval(), {"x": image}, ({0: "batch"},)
    tokens = random.integers(1000, 20000, (8, 128))
    batch, length = torch.export.Dim("batch"), torch.export.Dim("length", max=512)
    mask = np.ones((8, 128), np.int64)
    mask[:4, 100:] = 0
    axes = {0: batch, 1: length}
    return Encoder().eval(), {"input_ids": tokens, "attention_mask": mask}, (axes, axes)


def export(name: str, path: Path) -> None:
    """Export a model with torch's exporter, its batch (and length) dynamic."""
    model, feeds, axes = build(name)
    arguments = tuple(torch.from_numpy(array[:2]) for array in feeds.values())
    program = torch.onnx.export(
        model, arguments, dynamo=True, dynamic_shapes=axes, input_names=list(feeds), verbose=False
    )
    assert program is not None
    program.save(path)


def by_torch(name: str) -> tuple[Callable[[], list[np.ndarray]], int]:
    """Return a run by autograd, and the number of layers."""
    model, feeds, _ = build(name)
    model.requires_grad_(False)
    inputs = [torch.from_numpy(array) for array in feeds.values()]
    outputs: list[torch.Tensor] = []

    def hook(_module: nn.Module, _inputs: object, output: torch.Tensor) -> None:
        if not output.requires_grad:
            output.requires_grad_()
        outputs.append(output)

    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            module.register_forward_hook(hook)
    shape = model(*inputs).shape
    seed = torch.from_numpy(cotangent(tuple(shape)))

    def run() -> list[np.ndarray]:
        outputs.clear()
        y = model(*inputs)
        return [g.numpy() for g in torch.autograd.grad(y, outputs, seed)]

    return run, len(outputs)


def by_adjoint(name: str, path: Path) -> Callable[[], list[np.ndarray]]:
    """Return a run of the exported model with its adjoint, in onnxruntime."""
    _, feeds, _ = build(name)
    model = ir.load(path)
    graph = model.graph
    wanted = [
        node.outputs[0]
        for node in graph
        if node.op_type in ("Conv", "Gemm", "MatMul") and fixed(node.inputs[1])
    ]
    output = graph.outputs[0]
    seed = ir.Value(name="seed", type=output.type, shape=ir.Shape([None] * len(output.shape or ())))
    graph.inputs.append(seed)
    step = AppendAdjoint({output: seed}, wanted)
    step(model)
    assert not step.unreachable
    graph.outputs.extend(step.gradients[value] for value in wanted)
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    data = ir.to_proto(model).SerializeToString()
    session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    names = [step.gradients[value].name for value in wanted]
    given = {**feeds, "seed": cotangent(shape_of(path, feeds))}
    return lambda: session.run(names, given)


def shape_of(path: Path, feeds: Arrays) -> tuple[int, ...]:
    """Return the shape of a model's first output."""
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    return tuple(session.run(None, feeds)[0].shape)


def fixed(value: ir.Value | None) -> bool:
    """Tell whether a value is a weight, perhaps transposed."""
    if value is None or value.is_initializer():
        return value is not None
    node = value.producer()
    return node is not None and node.op_type == "Transpose" and fixed(node.inputs[0])


def cotangent(shape: tuple[int, ...]) -> np.ndarray:
    """Return the cotangent of the output that both sides use."""
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


def clock(run: Callable[[], object]) -> float:
    """Return the CPU seconds of one run."""
    start = time.process_time()
    run()
    return time.process_time() - start


def compare(name: str, path: Path, rounds: int) -> dict[str, float]:
    """Check that both sides agree, then time them alternately."""
    torch_run, layers = by_torch(name)
    adjoint_run = by_adjoint(name, path)
    errors = [
        float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))
        for ours, theirs in zip(adjoint_run(), torch_run(), strict=True)
    ]
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for run, column in zip((torch_run, adjoint_run), times, strict=True):
            column.append(clock(run))
    medians = [statistics.median(column) for column in times]
    return {
        "layers": layers,
        "error": max(errors),
        "torch": medians[0],
        "adjoint": medians[1],
        "ratio": statistics.median(a / t for t, a in zip(*times, strict=True)),
    }


def peak(name: str, path: Path, side: str) -> float:
    """Return how many MB the resident set grows by over three runs, in this process."""
    run = by_torch(name)[0] if side == "torch" else by_adjoint(name, path)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    before = pages * resource.getpagesize() / 2**20
    for _ in range(3):
        run()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before


def main() -> None:
    """Print a table, one line a model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=list(BARS))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--peak", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    if options.peak:
        side, path = options.peak
        print(json.dumps(peak(options.models[0], Path(path), side)))
        return
    print(
        f"{'model':10} layers  torch s  adjoint s  ratio   bar  torch MB  adjoint MB  worst error"
    )
    with tempfile.TemporaryDirectory() as folder:
        for name in options.models:
            path = Path(folder) / f"{name}.onnx"
            export(name, path)
            row = compare(name, path, options.rounds)
            peaks = []
            for side in ("torch", "adjoint"):
                command = [sys.executable, __file__, name, "--peak", side, str(path)]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                peaks.append(json.loads(done.stdout.splitlines()[-1]))
            print(
                f"{name:10} {row['layers']:6d} {row['torch']:8.3f} {row['adjoint']:10.3f} "
                f"{row['ratio']:6.2f} {BARS[name]:5.2f} {peaks[0]:9.0f} {peaks[1]:11.0f} "
                f"{row['error']:12.1e}"
            )


if __name__ == "__main__":
    main()
