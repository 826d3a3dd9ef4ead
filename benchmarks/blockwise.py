"""Calibration of a decoder as a whole and block by block: memory, time, and how equal they are.

    python -m benchmarks.blockwise [--layers 8 --width 1024 | --model smollm2]
        [--samples 16] [--length 64] [--memory 512MB] [--how off --how on] [--save FILE.json]

A decoder with random weights is written layer by layer, or a model of `models` is taken. Each way
is a process of its own; its peak is that of resident memory in the stage that gathers statistics,
mapped files among it. The difference is the largest of any moment, of the largest element of that.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnx

import models
from benchmarks import figures
from benchmarks.memory import StageMemory
from onnx_factorize.calibrating import calibrate_part
from onnx_factorize.options import Options
from onnx_factorize.statistics.statistics_file import load, save

VOCABULARY, HEAD, INNER = 8192, 64, 4

_LAYER = """
    {p}n = LayerNormalization <axis = -1> ({x}, scale)
    {p}q = MatMul ({p}n, {p}wq) {p}k = MatMul ({p}n, {p}wk) {p}v = MatMul ({p}n, {p}wv)
    {p}qs = Reshape ({p}q, heads) {p}ks = Reshape ({p}k, heads) {p}vs = Reshape ({p}v, heads)
    {p}qh = Transpose <perm = [0, 2, 1, 3]> ({p}qs) {p}kh = Transpose <perm = [0, 2, 3, 1]> ({p}ks)
    {p}vh = Transpose <perm = [0, 2, 1, 3]> ({p}vs)
    {p}dots = MatMul ({p}qh, {p}kh) {p}less = Mul ({p}dots, root) {p}seen = Add ({p}less, mask)
    {p}a = Softmax <axis = -1> ({p}seen) {p}mixed = MatMul ({p}a, {p}vh)
    {p}back = Transpose <perm = [0, 2, 1, 3]> ({p}mixed) {p}flat = Reshape ({p}back, joined)
    {p}o = MatMul ({p}flat, {p}wo) {p}r = Add ({x}, {p}o)
    {p}m = LayerNormalization <axis = -1> ({p}r, scale)
    {p}up = MatMul ({p}m, {p}wu) {p}act = Gelu ({p}up) {p}down = MatMul ({p}act, {p}wd)
    {p}y = Add ({p}r, {p}down)
"""


def build(folder: Path, layers: int, width: int) -> Path:
    """Writes a decoder with random weights, layer by layer, beside `model.data`."""
    body = "".join(_LAYER.format(p=f"l{i}_", x=f"l{i - 1}_y" if i else "e") for i in range(layers))
    text = f"""<ir_version: 10, opset_import: ["": 20]>
    decoder (int64[b, t] ids) => (float[b, t, {VOCABULARY}] logits)
    <float root = {{{HEAD**-0.5}}}, int64[4] heads = {{0, 0, {width // HEAD}, {HEAD}}},
     int64[3] joined = {{0, 0, {width}}}, float never = {{-10000.0}}>
    {{
        e = Gather (table, ids)
        shape = Shape (ids) length = Slice (shape, one, two)
        square = Concat <axis = 0> (length, length)
        ones = ConstantOfShape <value = float[1] {{1.0}}> (square)
        later = Trilu <upper = 1> (ones, first) mask = Mul (later, never)
        {body}
        logits = MatMul (l{layers - 1}_y, head)
    }}"""
    proto = onnx.parser.parse_model(text)
    for name, numbers in {"one": [1], "two": [2]}.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.array(numbers), name))
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.array(1), "first"))
    ones = np.ones(width, np.float32)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(ones, "scale"))
    rng = np.random.default_rng(0)
    shapes = {"table": (VOCABULARY, width)}
    for i in range(layers):
        shapes |= {f"l{i}_w{part}": (width, width) for part in "qkvo"}
        shapes |= {f"l{i}_wu": (width, INNER * width), f"l{i}_wd": (INNER * width, width)}
    shapes["head"] = (width, VOCABULARY)
    with (folder / "model.data").open("wb") as file:
        for name, shape in shapes.items():
            array = rng.standard_normal(shape, np.float32) / np.float32(shape[0] ** 0.5)
            tensor = onnx.TensorProto(name=name, data_type=1, dims=shape)
            tensor.data_location = onnx.TensorProto.EXTERNAL
            place = {"location": "model.data", "offset": file.tell(), "length": array.nbytes}
            for key, value in place.items():
                tensor.external_data.add(key=key, value=str(value))
            file.write(array.data)
            proto.graph.initializer.append(tensor)
    path = folder / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


class _Said(StageMemory):
    """Keeps what is said, too."""

    said = ""

    def say(self, line: str) -> None:
        self.said = line


@click.command()
@click.option("--model", help="A model of `models`, in place of one with random weights.")
@click.option("--layers", default=8, show_default=True)
@click.option("--width", default=1024, show_default=True)
@click.option("--samples", default=16, show_default=True)
@click.option("--length", default=64, show_default=True, help="Tokens of a sample.")
@click.option("--memory", default="512MB", show_default=True)
@click.option("--how", "ways", multiple=True, default=("off", "on"), show_default=True)
@click.option("--option", "others", multiple=True, metavar="NAME=VALUE", help="As `factorize`'s.")
@click.option("--save", "saved", type=click.Path(path_type=Path), help="Keep the figures.")
@click.option("--one", hidden=True, help="Run this, and print it: what a process of its own does.")
def main(
    model: str | None,
    layers: int,
    width: int,
    samples: int,
    length: int,
    memory: str,
    ways: tuple[str, ...],
    others: tuple[str, ...],
    saved: Path | None,
    one: str | None,
) -> None:
    """Calibrate a decoder in each of some ways."""
    if one is not None:
        print(json.dumps(_measured(**json.loads(one))))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if model is None:
            source = build(folder, layers, width)
            ids = np.random.default_rng(1).integers(0, VOCABULARY, (samples, length))
            np.savez(folder / "calib.npz", ids=ids)
            data = folder / "calib.npz"
        else:
            source, data = models.get(model).model_path, models.get(model).calib_path
        options = dict(each.split("=", 1) for each in others)
        options |= {"samples": samples, "memory": memory}
        rows = []
        for how in ways:
            task = {"source": str(source), "data": str(data), "to": str(folder / f"{how}.npz")}
            task["options"] = options | {"blockwise": how}
            command = [sys.executable, "-m", "benchmarks.blockwise", "--one", json.dumps(task)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            rows.append({"how": how, **json.loads(done.stdout.splitlines()[-1])})
            _show(rows[-1])
        if len(ways) > 1:
            first, second = (load(folder / f"{how}.npz") for how in ways[:2])
            print(f"largest difference of a moment: {_difference(first, second):.2g}")
    figures.write(saved, rows)


def _measured(source: str, data: str, to: str, options: dict[str, Any]) -> dict[str, Any]:
    progress = _Said()
    start = time.process_time()
    part = calibrate_part(source, data, Options.of(threads=1, **options), progress)
    seconds = time.process_time() - start
    save(part, Path(to))
    files = (Path(source), Path(source).with_name("model.data"))
    weights = sum(each.stat().st_size for each in files if each.exists())
    peak, _ = progress.stages["calibrate"]
    before = max(peak for name, (peak, _) in progress.stages.items() if name != "calibrate")
    return {
        "weights_mb": weights / 1e6,
        "peak_mb": peak,
        "before_mb": before,
        "seconds": seconds,
        "said": progress.said,
    }


def _show(row: dict[str, Any]) -> None:
    """Prints one row."""
    print(
        f"{row['how']:5} weights {row['weights_mb']:6.0f} MB, peak {row['peak_mb']:6.0f} MB "
        f"({row['before_mb']:.0f} before), processor {row['seconds']:.0f} s; {row['said']}",
        flush=True,
    )


def _difference(one: Any, other: Any) -> float:
    """The largest difference of two moments, of the largest element of one."""
    found = 0.0
    for part, same in zip(one.gathered.parts, other.gathered.parts, strict=True):
        for name in part:
            pairs = [(part[name].signal.second_moment, same[name].signal.second_moment)]
            gradients = part[name].gradient, same[name].gradient
            if None not in gradients:
                pairs.append((gradients[0].total, gradients[1].total))
            for x, y in pairs:
                found = max(found, float(np.abs(x - y).max() / max(1e-30, np.abs(x).max())))
    return found


if __name__ == "__main__":
    main()
