#!/usr/bin/env python3
"""Times the models of this folder in onnxruntime, and writes results.json.

    python run.py [--threads 4] [--provider NAME] [--dense model.onnx] [-o results.json]

It needs Python 3.8 or later, numpy and onnxruntime, and nothing of onnx-factorize.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import pathlib
import platform
import sys
import time
from typing import Any, Callable, Dict, List, Optional

import numpy as np
import onnxruntime as ort

Entry = Dict[str, Any]
Feeds = Dict[str, Any]

HERE = pathlib.Path(__file__).resolve().parent

# Rounds in which models take turns, at least and at most; of whole models at most.
LEAST, MOST, MOST_WHOLE = 5, 3000, 1000

# As the manifest is described in docs/latency-kit.md of onnx-factorize.
SCHEMA = 1


def main() -> None:
    """Runs the command line."""
    manifest = json.loads((HERE / "manifest.json").read_text(encoding="utf-8"))
    if manifest["schema"] != SCHEMA:
        sys.exit("run.py: the manifest is of another version than this script.")
    options = arguments(manifest)
    damaged = [name for name, digest in manifest["files"].items() if sha256(HERE / name) != digest]
    if damaged:
        sys.exit("run.py: the kit is damaged, copy it again: " + ", ".join(damaged))
    if options.provider not in ort.get_available_providers():
        sys.exit(
            "run.py: this onnxruntime has no {}; it has {}.".format(
                options.provider, ", ".join(ort.get_available_providers())
            )
        )
    entries: Dict[str, Entry] = {}
    start = time.perf_counter()
    groups = [(family["files"], family) for family in manifest["families"]]
    for number, (files, family) in enumerate(groups, 1):
        say("[{}/{}] {}".format(number, len(groups), family["labels"][0]))
        feeds = made_up(family["inputs"])
        found = timed([HERE / name for name in files], feeds, options, family["between"])
        entries.update({name: found[index] for index, name in enumerate(files)})
    empty = timed([HERE / "empty.onnx"], {"x": np.zeros(1, np.float32)}, options, 0)[0]
    whole = timed_whole(manifest, options)
    results = {
        "what": "results of a latency kit",
        "schema": SCHEMA,
        "kit": {key: value for key, value in manifest.items() if key != "files"},
        "conditions": {
            "device": options.device,
            "system": platform.platform(),
            "runtime": "onnxruntime",
            "version": ort.__version__,
            "provider": options.provider,
            "threads": options.threads,
            "precision": manifest["precision"],
        },
        "entries": entries,
        "empty": empty,
        "whole": whole,
    }
    path = pathlib.Path(options.output)
    path.write_text(json.dumps(results, indent=1), encoding="utf-8")
    ran = [*entries.values(), *whole]
    failed = sum("error" in entry for entry in ran)
    taken = time.perf_counter() - start
    say(f"{len(ran)} models in {taken:.0f} s, {failed} of them cannot run here; wrote {path}")


def arguments(manifest: Entry) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description="Time the models of this kit.")
    threads = manifest["threads"]
    parser.add_argument("--threads", type=int, default=threads, help="default: %(default)s")
    parser.add_argument("--provider", default="CPUExecutionProvider", help="default: %(default)s")
    parser.add_argument("--dense", metavar="MODEL", help="the dense model, if the kit lacks it")
    parser.add_argument("--seconds", type=float, default=1.0, help="for each operator")
    parser.add_argument("--whole-seconds", type=float, default=5.0, help="for each whole model")
    parser.add_argument("--device", default=processor(), help="its name; default: %(default)s")
    parser.add_argument("-o", "--output", default=str(HERE / "results.json"))
    return parser.parse_args()


def processor() -> str:
    """The name of this processor."""
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:  # noqa: PTH123 - no real file
            found = [s.split(":", 1)[1].strip() for s in lines if s.startswith("model name")]
        name = found[0] if found else name
    except OSError:
        pass  # not Linux
    return name


def sha256(path: pathlib.Path) -> str:
    """The SHA-256 of a file; an empty text if it is not there."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            for block in iter(lambda: file.read(1 << 20), b""):
                digest.update(block)
    except OSError:
        return ""
    return digest.hexdigest()


def made_up(inputs: List[Entry]) -> Feeds:
    """Feeds of random numbers; integers are between those that the model had there."""
    rng, feeds = np.random.RandomState(0), {}
    for spec in inputs:
        shape, dtype = spec["shape"], np.dtype(spec["dtype"])
        if dtype.kind in "iu":
            low, high = spec.get("low", 0), spec.get("high", 0)
            array = rng.randint(low, high + 1, shape, dtype=np.int64)
        elif dtype.kind == "b":
            array = rng.rand(*shape) < 0.5
        else:
            array = rng.standard_normal(shape)
        feeds[spec["name"]] = np.asarray(array).astype(dtype)
    return feeds


def timed_whole(manifest: Entry, options: argparse.Namespace) -> List[Entry]:
    """Times the dense model, and others beside it, in turns."""
    whole = manifest["whole"]
    names = [model["file"] for model in whole["models"]]
    if options.dense is not None:
        names[0] = str(pathlib.Path(options.dense).resolve())
        wanted = manifest["model"]["sha256"]
        if wanted and sha256(pathlib.Path(names[0])) != wanted:
            sys.exit("run.py: --dense is not the model that the kit was made from.")
    if names[0] is None:
        say("the kit holds no dense model, and --dense names none: budgets of time need it")
        return []
    say("the whole model" if len(names) == 1 else "whole models")
    with np.load(str(HERE / whole["feeds"])) as arrays:
        feeds = {name: arrays[name] for name in arrays.files}
    limit = options.whole_seconds * len(names)
    return timed([HERE / name for name in names], feeds, options, 0, limit, MOST_WHOLE)


def timed(
    paths: List[pathlib.Path],
    feeds: Feeds,
    options: argparse.Namespace,
    between: int,
    seconds: Optional[float] = None,
    most: int = MOST,
) -> List[Entry]:
    """Times models in turns, each with percentiles of milliseconds, or an error."""
    found: List[Entry] = [{} for _ in paths]
    sessions = {}
    for index, path in enumerate(paths):
        try:
            session = loaded(path, options)
            session.run(None, feeds)
            sessions[index] = session
        except Exception as error:
            found[index] = {"error": (str(error).strip() or type(error).__name__).split("\n")[0]}
    # Not zeros: all pages of those are one page of memory, and evict nothing.
    rest = np.ones(max(1, between // 8), np.int64)
    clock = clock_of(options)
    rng = np.random.RandomState(0)
    times: Dict[int, List[float]] = {index: [] for index in sessions}
    limit = options.seconds if seconds is None else seconds
    start, rounds = time.perf_counter(), 0
    while sessions and (rounds < LEAST or (time.perf_counter() - start < limit and rounds < most)):
        for index in rng.permutation(list(sessions)):
            rest.max()  # what the operators between two runs read, so that caches do not flatter
            before = clock()
            sessions[index].run(None, feeds)
            times[index].append(1e3 * (clock() - before))
        rounds += 1
    for index, milliseconds in times.items():
        found[index] = percentiles(milliseconds)
    return found


def loaded(path: pathlib.Path, options: argparse.Namespace) -> Any:
    """A session of a model."""
    settings = ort.SessionOptions()
    settings.log_severity_level = 4
    settings.intra_op_num_threads = options.threads
    settings.add_session_config_entry("session.force_spinning_stop", "1")
    return ort.InferenceSession(str(path), settings, providers=[options.provider])


def clock_of(options: argparse.Namespace) -> Callable[[], float]:
    """One thread of a processor is timed by what it computes, whatever else the device does."""
    alone = options.threads == 1 and options.provider == "CPUExecutionProvider"
    return time.thread_time if alone and os.name == "posix" else time.perf_counter


def percentiles(milliseconds: List[float]) -> Entry:
    """The least, the median and two more percentiles."""
    low, median, high = np.percentile(milliseconds, (10, 50, 90))
    return {
        "min": float(min(milliseconds)),
        "p10": float(low),
        "p50": float(median),
        "p90": float(high),
        "rounds": len(milliseconds),
    }


def say(text: str) -> None:
    """Tells how far the run is."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
