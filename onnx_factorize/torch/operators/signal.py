"""Fourier transforms and what belongs to them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..execution.program import Call
from ..execution.table import operator
from ._common import refuse, wrap_axis


@operator("DFT", since=17, host={1})
def _dft_attribute(
    x: Tensor,
    length: Tensor | None = None,
    *,
    axis: int = 1,
    inverse: int = 0,
    onesided: int = 0,
) -> Tensor:
    return _dft(x, length, torch.tensor(axis), inverse=inverse, onesided=onesided)


@operator("DFT", since=20, host={1, 2})
def _dft(
    x: Tensor,
    length: Tensor | None = None,
    axis: Tensor | None = None,
    *,
    inverse: int = 0,
    onesided: int = 0,
) -> Tensor:
    """The last axis holds the real part and, if its length is 2, the imaginary part."""
    along = wrap_axis(-2 if axis is None else int(axis), x.dim())
    count = None if length is None else int(length)
    if inverse and onesided:
        half = torch.complex(x[..., 0], x[..., 1])
        real: Tensor = torch.fft.irfft(half, count, along)
        return real[..., None]
    if onesided:
        refuse(x.shape[-1] != 1, "one side of the transform of complex numbers")
        return torch.view_as_real(torch.fft.rfft(x[..., 0], count, along))
    values = torch.complex(
        x[..., 0], x[..., 1] if x.shape[-1] == 2 else torch.zeros_like(x[..., 0])
    )
    transform = torch.fft.ifft if inverse else torch.fft.fft
    return torch.view_as_real(transform(values, count, along))


@operator("STFT", since=17, host={1, 3})
def _stft(
    signal: Tensor,
    step: Tensor,
    window: Tensor | None = None,
    length: Tensor | None = None,
    *,
    onesided: int = 1,
) -> Tensor:
    """Shape (batch, frames, bins, 2)."""
    refuse(window is None and length is None, "frames of no length")
    size = int(length) if length is not None else len(window)  # type: ignore[arg-type]  # one is there
    frames = signal.unfold(1, size, int(step)).movedim(-1, 2)
    if window is not None:
        frames = frames * window[:, None]
    if frames.dim() == 3:
        frames = frames[..., None]
    return _dft(frames, axis=torch.tensor(2), onesided=onesided)


def _window(size: Tensor, periodic: int, output_datatype: int, call: Call) -> tuple[Tensor, int]:
    """The angle of each element of a window."""
    count = int(size)
    period = count if periodic else count - 1
    angle = torch.arange(count, dtype=torch.float64, device=call.device) * (2 * np.pi / period)
    return angle, output_datatype


@operator("HannWindow", since=17)
def _hann(size: Tensor, *, output_datatype: int = 1, periodic: int = 1, call: Call) -> Tensor:
    angle, kind = _window(size, periodic, output_datatype, call)
    return (0.5 - 0.5 * angle.cos()).to(call.dtype(kind))


@operator("HammingWindow", since=17)
def _hamming(size: Tensor, *, output_datatype: int = 1, periodic: int = 1, call: Call) -> Tensor:
    angle, kind = _window(size, periodic, output_datatype, call)
    return (25 / 46 - 21 / 46 * angle.cos()).to(call.dtype(kind))


@operator("BlackmanWindow", since=17)
def _blackman(size: Tensor, *, output_datatype: int = 1, periodic: int = 1, call: Call) -> Tensor:
    angle, kind = _window(size, periodic, output_datatype, call)
    return (0.42 - 0.5 * angle.cos() + 0.08 * (2 * angle).cos()).to(call.dtype(kind))


@operator("MelWeightMatrix", since=17)
def _mel(
    bins: Tensor,
    length: Tensor,
    rate: Tensor,
    lower: Tensor,
    upper: Tensor,
    *,
    output_datatype: int = 1,
    call: Call,
) -> Tensor:
    """Triangles between neighbouring bins of the mel scale, over the bins of a spectrum."""
    count, size = int(bins), int(length)
    mel = 2595 * np.log10(1 + np.array([float(lower), float(upper)]) / 700)
    edges = mel[0] + np.arange(count + 2) * (mel[1] - mel[0]) / (count + 2)
    hertz = 700 * (10 ** (edges / 2595) - 1)
    places = np.floor((size + 1) * hertz / int(rate)).astype(np.int64)
    matrix = np.zeros((size // 2 + 1, count))
    for i in range(count):
        low, centre, high = places[i : i + 3]
        if centre == low:
            matrix[centre, i] = 1
        else:
            matrix[low : centre + 1, i] = (np.arange(low, centre + 1) - low) / (centre - low)
        if high > centre:
            matrix[centre:high, i] = (high - np.arange(centre, high)) / (high - centre)
    return torch.from_numpy(matrix).to(call.device, call.dtype(output_datatype))
