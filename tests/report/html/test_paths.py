"""Pages say nothing of the folders of the machine that they were made on."""

from __future__ import annotations

import pytest

from onnx_factorize.report.html.paths import without_folders

TYPED = (
    "onnx-factorize /home/ann/m.onnx --calib '/data/x y/*.npz' -o /tmp/s.onnx --include /enc/ "
    "--report=/home/ann/r.html --statistics /home/ann/all.npz --quantize int8 --custom-ops lib/a.so"
)
REPORT = {
    "command_line": TYPED,
    "config": {
        "model": "/home/ann/m.onnx",
        "calib": ["/data/a.npz", "b.npz"],
        "include": ["/enc/"],
    },
    "command": {
        "include": ["/enc/"],
        "statistics": "/home/ann/all.npz",
        "texts": {"tokenizer": "/home/ann/tokenizer.json", "length": None},
        "runtime": {"custom_ops": ["/opt/ann/ops.so"], "threads": 1},
        "training": {"checkpoint": "C:\\ann\\c.safetensors"},
    },
    "divergence": {
        "worst": [
            {"sample": "/data/ann/a.npz, index 3", "divergence": 1.0},
            {"sample": "/data/ann/one.png", "divergence": 1.0},
        ]
    },
    "warnings": ["'/enc/MatMul' in /data/ann/a.npz never ran."],
}


def test_files_are_called_by_their_names_and_nodes_by_theirs():
    shown = without_folders(REPORT)
    assert shown["command_line"] == (
        "onnx-factorize m.onnx --calib '*.npz' -o s.onnx --include /enc/ --report=r.html "
        "--statistics all.npz --quantize int8 --custom-ops a.so"
    )
    assert shown["config"] == {"model": "m.onnx", "calib": ["a.npz", "b.npz"], "include": ["/enc/"]}
    assert [each["sample"] for each in shown["divergence"]["worst"]] == [
        "a.npz, index 3",
        "one.png",
    ]
    assert shown["warnings"] == ["'/enc/MatMul' in a.npz never ran."]
    text = str(shown)
    assert not any(word in text for word in ("ann", "/data", "/opt", "/tmp"))
    assert str(REPORT).count("ann") > 5  # what was given is as it was


@pytest.mark.parametrize("typed", [None, "onnx-factorize 'unclosed"])
def test_what_cannot_be_split_stays(typed):
    assert without_folders(REPORT | {"command_line": typed})["command_line"] == typed
