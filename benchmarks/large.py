"""A synthetic model of several gigabytes goes through: peak of resident memory, and the time.

    python -m benchmarks.large --gigabytes 3

The model is a stack of two-layer blocks, 2048 wide and 8192 within, with its weights in external
data; it is written block by block. The run is a process of its own, so that its peak is its own.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnx.helper as oh

WIDTH, INNER = 2048, 8192
BLOCK_BYTES = 2 * 4 * WIDTH * INNER


def build(folder: pathlib.Path, blocks: int) -> pathlib.Path:
    """Writes the model; its weights are one random matrix, shifted for each operator."""
    rng = np.random.default_rng(0)
    # A spectrum that falls, as those of trained weights do.
    narrow = rng.standard_normal((WIDTH, 256)) @ rng.standard_normal((256, INNER)) / 256
    base = (narrow + 0.1 * rng.standard_normal((WIDTH, INNER))).astype(np.float32)
    nodes, initializers, x = [], [], "x"
    with (folder / "model.data").open("wb") as file:

        def weight(name: str, array: np.ndarray) -> str:
            tensor = onnx.TensorProto(name=name, data_type=1, dims=array.shape)
            tensor.data_location = onnx.TensorProto.EXTERNAL
            place = {"location": "model.data", "offset": file.tell(), "length": array.nbytes}
            for key, value in place.items():
                tensor.external_data.add(key=key, value=str(value))
            file.write(np.ascontiguousarray(array).data)
            initializers.append(tensor)
            return name

        for i in range(blocks):
            up = weight(f"up{i}.weight", np.roll(base, 17 * i, 1) / np.float32(32))
            down = weight(f"down{i}.weight", np.roll(base, 31 * i, 0).T / np.float32(128))
            nodes += [
                oh.make_node("MatMul", [x, up], [f"h{i}"], name=f"up{i}"),
                oh.make_node("Relu", [f"h{i}"], [f"r{i}"], name=f"relu{i}"),
                oh.make_node("MatMul", [f"r{i}", down], [f"d{i}"], name=f"down{i}"),
                oh.make_node("Add", [x, f"d{i}"], [f"x{i}"], name=f"add{i}"),
            ]
            x = f"x{i}"
    ends = [oh.make_tensor_value_info(name, 1, ["batch", WIDTH]) for name in ("x", x)]
    graph = oh.make_graph(nodes, "large", ends[:1], ends[1:], initializers)
    path = folder / "model.onnx"
    imports = [oh.make_opsetid("", 20)]
    path.write_bytes(oh.make_model(graph, opset_imports=imports, ir_version=10).SerializeToString())
    return path


def main() -> None:
    """Builds the model, runs the tool on it, and prints what the tool's process took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=3.0)
    parser.add_argument("--weighting", default="activation")
    parser.add_argument("--samples", type=int, default=256)
    parser.add_argument("--folder", help="where the model is written (default: a temporary one)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = pathlib.Path(name)
        model = build(folder, max(1, round(arguments.gigabytes * 2**30 / BLOCK_BYTES)))
        rows = np.random.default_rng(1).standard_normal((arguments.samples, WIDTH))
        np.savez(folder / "data.npz", x=rows.astype(np.float32))
        command = [sys.executable, "-m", "onnx_factorize", str(model)]
        command += ["--calib", str(folder / "data.npz"), "-o", str(folder / "small.onnx")]
        command += ["--weighting", arguments.weighting, "--report", str(folder / "report.json")]
        subprocess.run(command, check=True)
        report = json.loads((folder / "report.json").read_text())
    dense, small = (report["model"][which] for which in ("dense", "compressed"))
    print(f"weights       {dense['bytes'] / 2**30:.2f} GiB -> {small['bytes'] / 2**30:.2f} GiB")
    print(f"peak resident {report['peak_rss_mb'] / 1024:.2f} GiB")
    print(f"divergence    {report['divergence']['holdout']:.3g}")
    for stage, seconds in report["seconds"].items():
        print(f"{stage:22} {seconds:8.1f} s")


if __name__ == "__main__":
    main()
