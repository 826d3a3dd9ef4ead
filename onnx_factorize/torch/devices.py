"""Devices and threads for training."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from ..foreign import reading

__all__ = ["check_device", "full_precision", "in_threads"]


def check_device(name: str) -> None:
    """Finds out whether there is a device of a name.

    Raises:
        InputError: There is none, or this build of torch cannot use it.
    """
    with reading(f"--device '{name}' cannot be used here"):
        torch.zeros(1, device=name)


@contextlib.contextmanager
def in_threads(count: int) -> Iterator[None]:
    """Lets torch compute each operator in so many threads meanwhile; 0 leaves it to torch."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def full_precision(device: torch.device | str) -> Iterator[None]:
    """Lets a GPU compute float32 in float32 meanwhile, and convolutions the same again each time.

    By default torch rounds what convolutions read to the ten bits of TF32, which is further from
    onnxruntime than `check_against_onnxruntime` lets pass. Who wants speed asks for bfloat16.
    Switches of torch's newer kind (`fp32_precision`), where somebody set them, are left alone.
    """
    if torch.device(device).type != "cuda":
        yield
        return
    cudnn, deterministic = torch.backends.cudnn, torch.backends.cudnn.deterministic
    try:
        before = torch.get_float32_matmul_precision(), cudnn.allow_tf32
    except RuntimeError:
        before = None
    try:
        cudnn.deterministic = True
        if before is not None:
            torch.set_float32_matmul_precision("highest")
            cudnn.allow_tf32 = False
        yield
    finally:
        cudnn.deterministic = deterministic
        if before is not None:
            torch.set_float32_matmul_precision(before[0])
            cudnn.allow_tf32 = before[1]
