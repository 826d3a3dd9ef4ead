"""A checkpoint that is damaged, and disks that are full."""

from __future__ import annotations

import pathlib

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import save_file  # noqa: E402

from onnx_factorize.errors import InputError  # noqa: E402
from onnx_factorize.finetune.checkpoint import Checkpoint, Position  # noqa: E402
from onnx_factorize.finetune.training import Recovery  # noqa: E402
from onnx_factorize.options import Training  # noqa: E402

RUN = {"epochs": 3}
TENSORS = {"weights/a": torch.arange(100_000, dtype=torch.float32)}


@pytest.fixture
def checkpoint(tmp_path):
    return Checkpoint(tmp_path / "run.safetensors", RUN, 0)


def test_there_and_back(checkpoint):
    assert checkpoint.load() is None
    checkpoint.save(Position(Recovery(1.0), steps=3), TENSORS)
    position, tensors = checkpoint.load()
    assert (position.steps, position.recovery.before) == (3, 1.0)
    assert torch.equal(tensors["weights/a"], TENSORS["weights/a"])


@pytest.mark.parametrize(
    "damage", ["", "{", "[]", '{"recovery": 3}', '{"recovery": {"epochs": [{"x": 1}], "svt": []}}']
)
def test_a_damaged_header(damage, checkpoint, tmp_path):
    text = {"run": '{"epochs": 3}', "position": damage}
    save_file(TENSORS, tmp_path / "run.safetensors", metadata=text)
    with pytest.raises(InputError, match="is damaged"):
        checkpoint.load()


@pytest.mark.parametrize("content", [b"", b"\xff" * 100, b"\x10\0\0\0\0\0\0\0{"])
def test_what_is_no_checkpoint(content, checkpoint, tmp_path):
    (tmp_path / "run.safetensors").write_bytes(content)
    with pytest.raises(InputError, match="cannot be read"):
        checkpoint.load()


def test_a_full_disk(checkpoint, monkeypatch, tmp_path):
    checkpoint.save(Position(Recovery(1.0)), TENSORS)
    before = (tmp_path / "run.safetensors").read_bytes()
    resource = pytest.importorskip("resource")
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limit[1]))
    try:
        with pytest.raises(InputError, match="cannot be written"):
            checkpoint.save(Position(Recovery(2.0)), TENSORS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        "run.safetensors": before
    }


def test_two_checkpoints_do_not_share_a_file():
    """Names differ behind a dot, which is no suffix."""
    files = [Training(svt="hard", checkpoint=f"run.{k}").checkpoints for k in ("v1", "v2")]
    assert not set(files[0]) & set(files[1])
    named = Training(svt="hard", checkpoint="run.safetensors").checkpoints
    assert named[1] == pathlib.Path("run.plan.safetensors")
