"""Frames of synthetic harmonic tones with exact pitch, under noise."""

import numpy as np

from models.session import Array

RATE = 16000
FRAME = 1024
LOWEST, HIGHEST = 50.0, 1200.0


def make(count: int, seed: int) -> tuple[Array, Array]:
    """Return frames and their pitches.

    A tone has up to 12 harmonics below 7.5 kHz, whose amplitudes fall by a random power of their
    order (0.5 to 2) with a random factor each; its pitch is uniform in cents and constant. White
    noise lies 5 to 40 dB below it. Each frame has mean 0 and variance 1, as CREPE wants it.

    Args:
        count: how many.
        seed: of the generator.

    Returns:
        float32 [count, 1024] at 16 kHz, and the pitches in Hz [count].
    """
    rng = np.random.default_rng(seed)
    pitches = LOWEST * (HIGHEST / LOWEST) ** rng.random(count)
    time = np.arange(FRAME) / RATE
    frames = np.empty((count, FRAME), np.float32)
    for frame, pitch in zip(frames, pitches, strict=True):
        orders = np.arange(1, 1 + min(int(rng.integers(1, 13)), int(7500 // pitch)))
        amplitudes = orders ** -rng.uniform(0.5, 2.0) * rng.uniform(0.3, 1.0, len(orders))
        phases = rng.uniform(0, 2 * np.pi, len(orders))
        waves = np.sin(2 * np.pi * pitch * orders[:, None] * time + phases[:, None])
        tone = amplitudes @ waves
        noise = rng.standard_normal(FRAME) * tone.std() * 10 ** (-rng.uniform(5, 40) / 20)
        frame[:] = standardised(tone + noise)
    return frames, pitches


def standardised(frame: Array) -> Array:
    """Return a frame with mean 0 and variance 1."""
    centred = frame - frame.mean()
    return np.asarray(centred / max(float(centred.std()), 1e-10), np.float32)
