#!/usr/bin/env python3
"""Writes results.json from what another tool than run.py has printed; needs no package.

python collect.py trtexec FOLDER     FOLDER holds NAME.onnx.json, of trtexec --exportTimes
python collect.py perf_test FOLDER   FOLDER holds NAME.onnx.log, of onnxruntime_perf_test
"""

from __future__ import annotations

import argparse
import json
import pathlib
import platform
import re
from typing import Any, Dict, Optional

Entry = Dict[str, Any]

HERE = pathlib.Path(__file__).resolve().parent

# What onnxruntime_perf_test prints, in seconds.
PERCENTILES = re.compile(r"(Min|P50|P90) Latency:\s*([0-9.eE+-]+)\s*s")
AVERAGE = re.compile(r"Average inference time cost[^:]*:\s*([0-9.eE+-]+)\s*ms")
NAMES = {"Min": "min", "P50": "p50", "P90": "p90"}


def main() -> None:
    """Runs the command line."""
    options = arguments()
    manifest = json.loads((HERE / "manifest.json").read_text(encoding="utf-8"))
    folder, read = pathlib.Path(options.folder), {"trtexec": trtexec, "perf_test": perf_test}
    files = [name for family in manifest["families"] for name in family["files"]]

    def entry(name: str) -> Entry:
        return read[options.tool](folder, name) or {"error": "it did not run; see its log"}

    models = [model["file"] for model in manifest["whole"]["models"]]
    whole = [] if None in models else [entry(name) for name in models]
    threads = manifest["threads"] if options.threads is None else options.threads
    results = {
        "what": "results of a latency kit",
        "schema": manifest["schema"],
        "kit": {key: value for key, value in manifest.items() if key != "files"},
        "conditions": {
            "device": options.device,
            "system": platform.platform(),
            "runtime": {"trtexec": "TensorRT", "perf_test": "onnxruntime"}[options.tool],
            "version": options.version,
            "provider": options.provider,
            "threads": threads,
            "precision": options.precision or manifest["precision"],
        },
        "entries": {name: entry(name) for name in files},
        "empty": entry("empty.onnx"),
        "whole": whole,
    }
    pathlib.Path(options.output).write_text(json.dumps(results, indent=1), encoding="utf-8")
    print("wrote " + options.output)


def arguments() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description="Collect the times that another tool printed.")
    parser.add_argument("tool", choices=["trtexec", "perf_test"])
    parser.add_argument("folder")
    parser.add_argument("--device", default="unknown")
    parser.add_argument("--version", default="unknown")
    parser.add_argument("--provider", default="default")
    parser.add_argument("--threads", type=int, help="default: those of the manifest")
    parser.add_argument("--precision", help="default: that of the manifest")
    parser.add_argument("-o", "--output", default=str(HERE / "results.json"))
    return parser.parse_args()


def trtexec(folder: pathlib.Path, name: str) -> Optional[Entry]:
    """The percentiles of what trtexec exported: a list of runs; None if there are none."""
    try:
        runs = json.loads((folder / (name + ".json")).read_text(encoding="utf-8"))
        times = sorted(float(run["computeMs"]) for run in runs)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not times:
        return None

    def at(share: float) -> float:
        return times[round(share * (len(times) - 1))]

    found = {"min": times[0], "p10": at(0.1), "p50": at(0.5), "p90": at(0.9)}
    return dict(found, rounds=len(times))


def perf_test(folder: pathlib.Path, name: str) -> Optional[Entry]:
    """What onnxruntime_perf_test printed, in milliseconds; None if it printed no time."""
    try:
        text = (folder / (name + ".log")).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    found = {NAMES[key]: 1e3 * float(value) for key, value in PERCENTILES.findall(text)}
    average = AVERAGE.search(text)
    if "p50" not in found and average is not None:
        found["p50"] = float(average[1])
    return found if "p50" in found else None


if __name__ == "__main__":
    main()
