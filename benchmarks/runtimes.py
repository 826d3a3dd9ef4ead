"""Dense and factorized models in the runtimes that are installed: times, and whether they agree.

    python -m benchmarks.runtimes [NAME=KIND=VALUE ...] [--samples N] [--effort NAME]
        [--modules FOLDER] [--seconds S] [--made FILE]

A row for each model and runtime: the time of the factorized model as a share of the dense one's
there (processor time of one sample, one thread, the two taking turns; the median of the rounds'
ratios, and the middle half), and by how much the first output of each differs at most from what
onnxruntime computes of the same file, as a share of that output's standard deviation. Runtimes of
Python are those that can be imported: onnxruntime, openvino, tract, ncnn (by pnnx).
onnxruntime-node and -web
are looked for in `--modules`: `npm install --ignore-scripts onnxruntime-node onnxruntime-web`.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort

import models
from onnx_factorize import factorize
from onnx_factorize.calibration import Signature, open_calibration
from onnx_factorize.files import model_io
from onnx_factorize.options import Selection
from onnx_factorize.runtime.runtimes.onnx_runtime import OnnxRuntime

Feeds = Mapping[str, npt.NDArray[Any]]
Run = Callable[[], npt.NDArray[Any]]

# The times of both models in each round, shape (rounds, 2), and the first output of each.
Found = tuple[npt.NDArray[np.float64], list[npt.NDArray[Any]]]

_ROWS = ("minilm=targets=0.5", "fashion-resnet=targets=0.5", "ppocr-cls=targets=0.5")


def in_onnxruntime(path: Path, feeds: Feeds) -> Run:
    """The model in onnxruntime, as Python has it."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(path, options, ["CPUExecutionProvider"])
    return lambda: np.asarray(session.run(None, feeds)[0])


def in_openvino(path: Path, feeds: Feeds) -> Run:
    """The model in OpenVINO, in float32."""
    openvino = importlib.import_module("openvino")
    config = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(path), "CPU", config)
    request = compiled.create_infer_request()
    return lambda: np.array(next(iter(request.infer(dict(feeds)).values())))


def in_tract(path: Path, feeds: Feeds) -> Run:
    """The model in tract, with the shapes of the feeds."""
    tract = importlib.import_module("tract")
    proto = onnx.load(path)
    # It takes the name of an open axis for a length that no other can be.
    del proto.graph.value_info[:]
    for value in proto.graph.output:
        value.type.tensor_type.ClearField("shape")
    with tempfile.TemporaryDirectory() as folder:
        fixed = Path(folder) / "model.onnx"
        onnx.save(proto, fixed)
        model = tract.onnx().load(str(fixed))
    names = [model.input_name(index) for index in range(model.input_count())]
    for index, name in enumerate(names):
        shape = ",".join(map(str, feeds[name].shape))
        kind = {"float32": "f32", "int64": "i64", "int32": "i32"}[str(feeds[name].dtype)]
        model.set_input_fact(index, f"{shape},{kind}")
    model = model.into_model()
    runnable = model.into_runnable()
    arrays = [np.ascontiguousarray(feeds[name]) for name in names]
    return lambda: np.asarray(runnable.run(arrays)[0].to_numpy())


def in_ncnn(path: Path, feeds: Feeds) -> Run:
    """The model in ncnn, as pnnx converts it."""
    ncnn = importlib.import_module("ncnn")
    folder = Path(tempfile.mkdtemp())
    source = folder / "model.onnx"
    shutil.copy(path, source)
    kinds = {"float32": "f32", "int64": "i64", "int32": "i32"}
    names = [each.name for each in ort.InferenceSession(path).get_inputs()]
    shapes = ",".join(f"{list(feeds[n].shape)}{kinds[str(feeds[n].dtype)]}" for n in names)
    program = shutil.which("pnnx") or "pnnx"
    command = [program, source.name, f"inputshape={shapes.replace(' ', '')}", "fp16=0"]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=60
    )
    param, weights = folder / "model.ncnn.param", folder / "model.ncnn.bin"
    if not param.exists():
        raise RuntimeError(f"pnnx writes no network: {(done.stderr or done.stdout)[-80:]!r}")
    net = ncnn.Net()
    net.opt.num_threads = 1
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    if net.load_param(str(param)) or net.load_model(str(weights)):
        raise RuntimeError(
            "ncnn cannot load what pnnx wrote: it has an operator that is none there"
        )

    def run() -> npt.NDArray[Any]:
        extractor = net.create_extractor()
        for index, name in enumerate(names):
            array = feeds[name][0]
            array = array.astype(np.int32) if array.dtype == np.int64 else array
            extractor.input(f"in{index}", ncnn.Mat(np.ascontiguousarray(array)).clone())
        code, found = extractor.extract("out0")
        if code:
            raise RuntimeError(f"ncnn stops with {code}")
        return np.array(found)[None]

    return run


_PYTHON: dict[str, Callable[[Path, Feeds], Run]] = {
    "onnxruntime": in_onnxruntime,
    "openvino": in_openvino,
    "tract": in_tract,
    "ncnn": in_ncnn,
}
_NODE = ("onnxruntime-node", "onnxruntime-web")


def in_python(name: str, paths: Sequence[Path], feeds: Feeds, seconds: float) -> Found:
    """Times two models in turns in a runtime of Python."""
    runs = [_PYTHON[name](path, feeds) for path in paths]
    outputs = [run() for run in runs]
    times: list[list[float]] = []
    start = time.perf_counter()
    while len(times) < 5 or (time.perf_counter() - start < seconds and len(times) < 200):
        row = [0.0, 0.0]
        for index in (1, 0) if len(times) % 2 else (0, 1):
            before = time.process_time()
            runs[index]()
            row[index] = time.process_time() - before
        times.append(row)
    return np.array(times), outputs


def in_node(name: str, paths: Sequence[Path], feeds: Feeds, seconds: float, modules: Path) -> Found:
    """The same in a runtime of node."""
    output = ort.InferenceSession(paths[0]).get_outputs()[0].name
    with tempfile.TemporaryDirectory() as folder:
        fed = {}
        for index, (key, array) in enumerate(feeds.items()):
            file = Path(folder) / f"{index}.bin"
            file.write_bytes(np.ascontiguousarray(array).tobytes())
            fed[key] = {"type": str(array.dtype), "dims": list(array.shape), "file": str(file)}
        asked, result = Path(folder) / "asked.json", Path(folder) / "result.json"
        files = [str(path.resolve()) for path in paths]
        said = {"models": files, "feeds": fed, "seconds": seconds, "output": output}
        said |= {"package": name, "modules": str(modules.resolve()), "result": str(result)}
        asked.write_text(json.dumps(said))
        script = Path(__file__).with_suffix(".mjs")
        command = ["node", str(script), str(asked)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if not result.exists():
            raise RuntimeError((done.stderr or done.stdout).strip().split("\n")[-1])
        found = json.loads(result.read_text())
    return np.array(found["times"]).T, [np.array(each) for each in found["outputs"]]


def runtimes(modules: Path | None) -> Iterator[str]:
    """Yields the names of the runtimes that are here."""
    yield from (name for name in _PYTHON if importlib.util.find_spec(name) is not None)
    if modules is not None:
        yield from (name for name in _NODE if (modules / "node_modules" / name).is_dir())


def row(name: str, paths: Sequence[Path], feeds: Feeds, seconds: float, modules: Any) -> str:
    """A line of the table: what a runtime makes of two models."""
    try:
        if name in _NODE:
            times, outputs = in_node(name, paths, feeds, seconds, modules)
        else:
            times, outputs = in_python(name, paths, feeds, seconds)
    except Exception as error:
        said = str(error).strip().split("\n")[0][:90]
        return f"fails: {said} | |"
    ratios = times[:, 1] / times[:, 0]
    low, median, high = np.percentile(ratios, (25, 50, 75))
    off = []
    for path, output in zip(paths, outputs, strict=True):
        wanted = in_onnxruntime(path, feeds)().astype(np.float64).ravel()
        found = np.asarray(output, np.float64).ravel()
        off.append(
            np.abs(found - wanted).max() / wanted.std() if found.size == wanted.size else np.nan
        )
    return f"{median:.2f} ({low:.2f} to {high:.2f}) | {off[0]:.0e} | {off[1]:.0e}"


@click.command()
@click.argument("rows", nargs=-1)
@click.option("--samples", default=128, show_default=True)
@click.option("--effort", default="low", show_default=True, help="Of the choice of ranks.")
@click.option("--seconds", default=4.0, show_default=True, help="How long to time a pair.")
@click.option("--modules", type=click.Path(exists=True, path_type=Path), help="With node_modules.")
@click.option("--made", type=click.Path(exists=True, path_type=Path), help="For a single row.")
def main(
    rows: tuple[str, ...],
    samples: int,
    effort: str,
    seconds: float,
    modules: Path | None,
    made: Path | None,
) -> None:
    """Print the table for ROWS, or for the default ones."""
    print("| model | runtime | time, of dense | dense differs | factorized differs |")
    print("|---|---|---|---|---|")
    for each in rows or _ROWS:
        name, _, budget = each.partition("=")
        recipe = models.get(name)
        dense = model_io.load(recipe.model_path)
        one = Selection(samples=64, batch_size=1)
        signature, run = Signature.of(dense), OnnxRuntime().session(dense).run
        feeds = (
            open_calibration(recipe.calib_path, signature, one, run=run).typical("holdout").feeds
        )
        with tempfile.TemporaryDirectory() as folder:
            small = made or Path(folder) / "small.onnx"
            if made is None:
                options = {"budget": budget, "samples": samples, "effort": effort, "threads": 1}
                factorize(recipe.model_path, recipe.calib_path, **options).save(small)
            for runtime in runtimes(modules):
                line = row(runtime, (Path(recipe.model_path), small), feeds, seconds, modules)
                print(f"| {name} `{budget}` | {runtime} | {line} |", flush=True)


if __name__ == "__main__":
    main()
