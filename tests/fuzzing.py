"""Damaged models, data and images, from a seed; and a process that runs the command on them.

As a program, it runs the cases that it is told and prints a line of JSON for each: `python
tests/fuzzing.py KIND FIRST LAST FOLDER`.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import pathlib
import select
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator

import numpy as np
import onnx

KINDS = ("model", "data", "image")

# Seconds after which a case hangs.
LIMIT = 60.0

_MODELS = {
    "dense": """(float[batch, 12] x) => (float[batch, 5] y) {
        [a] h = MatMul (x, w1) p = Add (h, b1) r = Relu (p) [b] y = Gemm (r, w2, b2) }""",
    "convolution": """(float[batch, 3, 8, 8] x) => (float[batch, 5] y) {
        [a] h = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x, k) r = Relu (h)
        p = GlobalAveragePool (r) f = Flatten (p) [b] z = Gemm (f, w2, b2) y = Softmax (z) }""",
    "branches": """(float[batch, 12] x) => (float[batch, 5] y) {
        [a] h = MatMul (x, w1) s = ReduceSum <keepdims = 0> (h) c = Greater (s, zero)
        r = If (c) <then_branch = t () => (float[batch, 16] u) { u = Relu (h) },
                    else_branch = e () => (float[batch, 16] v) { v = Tanh (h) }>
        [b] y = Gemm (r, w2, b2) }""",
}


def _proto(name: str) -> onnx.ModelProto:
    from builders import model, normal  # noqa: PLC0415 - a program needs no more than it runs

    weights = {"w1": normal(1, 12, 16), "b1": normal(2, 16), "w2": normal(3, 16, 5)}
    weights |= {"b2": normal(4, 5), "k": normal(5, 16, 3, 3, 3), "zero": np.zeros((), np.float32)}
    used = {
        n: w for n, w in weights.items() if f"{n})" in _MODELS[name] or f"{n}," in _MODELS[name]
    }
    return model(_MODELS[name], used)


def bytes_of(data: bytes, rng: np.random.Generator) -> bytes:
    """A file with a few bytes changed, added or taken away."""
    found = bytearray(data)
    for _ in range(int(rng.integers(1, 6))):
        at = int(rng.integers(0, max(1, len(found))))
        length = int(rng.integers(1, 9))
        match rng.integers(0, 6):
            case 0:
                found[at : at + 1] = rng.bytes(1)
            case 1:
                found[at : at + length] = b""
            case 2:
                found[at:at] = rng.bytes(length)
            case 3:
                found[at : at + length] = bytes(length)
            case 4:
                found[at : at + length] = b"\xff" * length
            case 5:
                del found[at + length * 16 :]
    return bytes(found)


def model_of(proto: onnx.ModelProto, rng: np.random.Generator) -> bytes:
    """A model with parts that do not belong together."""
    if rng.random() < 0.4:
        return bytes_of(proto.SerializeToString(), rng)
    for _ in range(int(rng.integers(1, 4))):
        _change(proto, rng)
    return proto.SerializeToString()


def _change(proto: onnx.ModelProto, rng: np.random.Generator) -> None:  # noqa: C901 - a list of changes
    graph = proto.graph
    names = [v for node in graph.node for v in (*node.input, *node.output)] or ["x"]
    node = graph.node[int(rng.integers(len(graph.node)))] if graph.node else graph.node.add()
    some = str(rng.choice(names))
    match int(rng.integers(0, 14)):
        case 0:
            node.op_type = str(rng.choice(["MatMul", "Conv", "Gather", "LSTM", "Loop", "Nope", ""]))
        case 1 if node.input:
            node.input[int(rng.integers(len(node.input)))] = some
        case 2 if node.input:
            del node.input[-1]
        case 3:
            node.input.append(some)
        case 4 if node.output:
            node.output[0] = some
        case 5 if len(graph.node) > 1:
            graph.node.remove(node)
        case 6:
            graph.node.add().CopyFrom(node)
        case 7 if graph.initializer:
            tensor = graph.initializer[int(rng.integers(len(graph.initializer)))]
            tensor.dims[:] = [int(d) for d in rng.integers(-2, 40, rng.integers(0, 4))]
        case 8 if graph.initializer:
            tensor = graph.initializer[int(rng.integers(len(graph.initializer)))]
            tensor.data_type = int(rng.integers(0, 26))
        case 9 if graph.initializer:
            del graph.initializer[int(rng.integers(len(graph.initializer)))]
        case 10:
            name = str(rng.choice(["axis", "group", "pads", "strides", "alpha", "transB", "axes"]))
            values = [int(v) for v in rng.integers(-9, 9, rng.integers(1, 5))]
            one = values[0] if rng.random() < 0.5 else values
            node.attribute.append(onnx.helper.make_attribute(name, one))
        case 11:
            value = (graph.input if rng.random() < 0.5 else graph.output)[0].type.tensor_type
            value.elem_type = int(rng.integers(0, 26))
        case 12:
            proto.opset_import[0].version = int(rng.integers(-1, 30))
            proto.ir_version = int(rng.integers(0, 14))
        case 13:
            shape = (graph.input if rng.random() < 0.5 else graph.output)[0].type.tensor_type.shape
            del shape.dim[int(rng.integers(0, 2)) :]
            shape.dim.add().dim_value = int(rng.integers(-2, 50))


def _prepare(kind: str, seed: int, folder: pathlib.Path) -> list[str]:
    """Writes the files of a case, and gives the arguments of the command."""
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    name = "convolution" if kind == "image" else list(_MODELS)[seed % len(_MODELS)]
    proto = _proto(name)
    x = rng.standard_normal((24, 3, 8, 8) if name == "convolution" else (24, 12)).astype(np.float32)
    content = model_of(proto, rng) if kind == "model" else proto.SerializeToString()
    (folder / "m.onnx").write_bytes(content)
    data = folder / "d.npz"
    if kind == "data":
        form = seed % 4
        data = folder / ("d.npy" if form == 3 else "d.npz")
        stream = io.BytesIO()
        save = [np.savez, np.savez_compressed, np.savez, np.save][form]
        save(stream, **({"arr": x} if form == 3 else {"x": x}))  # type: ignore[operator]
        data.write_bytes(bytes_of(stream.getvalue(), rng))
    elif kind == "image":
        from PIL import Image  # noqa: PLC0415 - as above

        data = folder / "images"
        data.mkdir()
        suffix = ["png", "jpg", "gif", "bmp", "tiff", "webp"][seed % 6]
        for index in range(4):
            stream = io.BytesIO()
            picture = Image.fromarray(rng.integers(0, 256, (9, 9, 3), np.uint8))
            picture.save(stream, "jpeg" if suffix == "jpg" else suffix)
            whole = stream.getvalue()
            (data / f"{index}.{suffix}").write_bytes(whole if index else bytes_of(whole, rng))
    else:
        np.savez(data, x=x)
    weighting = "fisher" if seed % 5 == 0 else "activation"
    return [
        str(folder / "m.onnx"), "--calib", str(data), "-o", str(folder / "out.onnx"), "-q",
        "--threads", "1", "--prefer", "size", "--rank-multiple", "1", "--weighting", weighting,
    ]  # fmt: skip


def _run(arguments: list[str]) -> tuple[int, str]:
    from onnx_factorize.cli.main import main  # noqa: PLC0415 - as above

    error = io.StringIO()
    sys.argv = ["onnx-factorize", *arguments]
    try:
        with contextlib.redirect_stderr(error), contextlib.redirect_stdout(io.StringIO()):
            main()
    except SystemExit as leaving:
        return int(leaving.code or 0), error.getvalue()
    except BaseException as failure:  # what a user would see as a traceback
        import traceback  # noqa: PLC0415

        frame = traceback.extract_tb(failure.__traceback__)[-1]
        place = f"{pathlib.Path(frame.filename).name}:{frame.lineno}"
        return -1, f"{type(failure).__name__} at {place}: {failure}"
    return 0, error.getvalue()


def _verdict(code: int, said: str, folder: pathlib.Path) -> str:
    """What is wrong with a run; empty if nothing is."""
    left = {path.name for path in folder.iterdir()} - {"m.onnx", "d.npz", "d.npy", "images"}
    if code == -1:
        return f"traceback: {said[:300]}"
    if code != 0:
        lines = said.strip().splitlines()
        if len(lines) != 1 or not lines[0].startswith("onnx-factorize: "):
            return f"no sentence: {said[:300]}"
        return f"left {sorted(left)}" if left else ""
    import onnxruntime  # noqa: PLC0415 - as above

    try:
        onnxruntime.InferenceSession(str(folder / "out.onnx"), providers=["CPUExecutionProvider"])
    except Exception as error:
        return f"corrupt output: {str(error)[:300]}"
    return "" if left == {"out.onnx"} else f"left {sorted(left)}"


def faults(kind: str, first: int, last: int) -> dict[int, str]:
    """Runs cases in a process of their own: seed to what was wrong, and nothing for the rest."""
    found: dict[int, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        while first < last:
            for seed, fault in _worker(kind, first, last, folder):
                first = seed + 1
                if fault:
                    found[seed] = fault
    return found


def _worker(kind: str, first: int, last: int, folder: str) -> Iterator[tuple[int, str]]:
    command = [sys.executable, __file__, kind, str(first), str(last), folder]
    root = pathlib.Path(__file__).parent.parent
    paths = os.pathsep.join([str(root), str(root / "tests")])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        for seed in range(first, last):
            ready, _, _ = select.select([process.stdout], [], [], LIMIT)
            line = process.stdout.readline() if ready else ""
            if not line:
                process.kill()
                yield seed, "crash" if ready else "hang"
                return
            yield seed, json.loads(line)


def _main(kind: str, first: int, last: int, scratch: str) -> None:
    printed = os.fdopen(os.dup(1), "w")
    for seed in range(first, last):
        folder = pathlib.Path(scratch) / "case"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        fault = _verdict(*_run(_prepare(kind, seed, folder)), folder)
        printed.write(json.dumps(fault) + "\n")
        printed.flush()


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
