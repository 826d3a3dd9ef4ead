"""Results of a kit as a device would write them on which a thousand weights take a millisecond."""

from __future__ import annotations

import json

import onnx_ir as ir


def clocked(name: str, model: ir.Model, slower: float = 1.0):
    """The entry of one model; the dense model takes 390 ms."""
    if name == "dense.onnx":
        return {"min": 390.0}
    weights = (value.const_value for value in model.graph.initializers.values())
    return {"min": slower * 1e-3 * sum(tensor.size for tensor in weights)}


def results_of(kit, clock):
    """What `run.py` would write.

    Args:
        kit: The folder.
        clock: The entry of a model, by its name and what is in it.
    """
    manifest = json.loads((kit / "manifest.json").read_text())
    names = [name for family in manifest["families"] for name in family["files"]]
    return {
        "what": "results of a latency kit",
        "schema": 1,
        "kit": {key: value for key, value in manifest.items() if key != "files"},
        "conditions": {
            "device": "a board", "system": "x", "runtime": "a runtime", "version": "1",
            "provider": "p", "threads": 1, "precision": "float",
        },
        "entries": {name: clock(name, ir.load(kit / name)) for name in names},
        "empty": {"min": 0.001},
        "whole": [
            clock(model["file"], ir.load(kit / model["file"]))
            for model in manifest["whole"]["models"]
        ],
    }  # fmt: skip
