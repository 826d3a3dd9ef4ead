"""Spoken samples of Debian's pocketsphinx-testdata, composed into streams with exact truth."""

import wave
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from models.debian import installed
from models.session import Array

PACKAGE = "pocketsphinx-testdata"
_FOLDER = "/usr/share/pocketsphinx/test/data"
RATE = 16000
_BOOK = "librivox/sense_and_sensibility_01_austen_64kb"

TEST = (f"{_BOOK}-0870.wav", f"{_BOOK}-0890.wav", "cards/002.wav", "cards/005.wav", "goforward.raw")
CALIBRATION = (
    f"{_BOOK}-0880.wav",
    f"{_BOOK}-0920.wav",
    f"{_BOOK}-0930.wav",
    "cards/001.wav",
    "cards/003.wav",
    "cards/004.wav",
    "numbers.raw",
    "something.raw",
)


def load(name: str) -> Array:
    """Return a sample as float32 in -1..1 at 16 kHz."""
    path = installed(f"{_FOLDER}/{name}", PACKAGE)
    samples = _read_wave(path) if path.suffix == ".wav" else path.read_bytes()
    return np.asarray(np.frombuffer(samples, "<i2") / 32768, np.float32)


def speech_frames(samples: Array, frame: int) -> Array:
    """Tell the frames of a clean utterance that hold speech.

    A frame is speech when its energy is above a thousandth (-30 dB) of the utterance's loud frames
    (their 95th percentile); gaps of up to three frames (96 ms) between such frames count too.

    Returns:
        bool [len(samples) // frame].
    """
    count = len(samples) // frame
    energy = np.square(samples[: count * frame].reshape(count, frame)).mean(axis=1)
    active = energy > 1e-3 * np.quantile(energy, 0.95)
    places = np.flatnonzero(active)
    for left, right in pairwise(places):
        if right - left <= 4:
            active[left:right] = True
    return np.asarray(active)


def compose(
    utterances: Sequence[Array], seconds: float, rng: np.random.Generator, frame: int = 512
) -> tuple[Array, Array]:
    """Join random utterances and pauses of 0.3 to 2.5 s, at random gains, under random noise.

    Args:
        utterances: clean samples at 16 kHz.
        seconds: the stream's length.
        rng: where the randomness comes from.
        frame: samples a frame; everything starts on a frame.

    Returns:
        The stream float32 [n] and, for each frame, whether it holds speech, bool [n / frame].
    """
    frames = int(seconds * RATE) // frame
    stream, truth = np.zeros(frames * frame, np.float32), np.zeros(frames, bool)
    at = 0
    while True:
        at += int(rng.uniform(0.3, 2.5) * RATE) // frame
        utterance = utterances[int(rng.integers(len(utterances)))]
        active = speech_frames(utterance, frame)
        end = min(at + len(active), frames)
        if at >= frames:
            break
        gain = 0.5 * 10 ** rng.uniform(-0.8, 0) / np.abs(utterance).max()
        stream[at * frame : end * frame] = gain * utterance[: (end - at) * frame]
        truth[at:end] = active[: end - at]
        at = end
    level = 10 ** rng.uniform(-4, -2)
    return np.clip(stream + level * coloured_noise(len(stream), rng), -1, 1), truth


def coloured_noise(count: int, rng: np.random.Generator) -> Array:
    """Return noise of variance 1; its power falls with frequency to a random power, 0 to 1.5."""
    spectrum = np.fft.rfft(rng.standard_normal(count))
    spectrum /= np.maximum(np.arange(len(spectrum)), count / RATE * 20) ** rng.uniform(0, 0.75)
    noise = np.fft.irfft(spectrum, count)
    return np.asarray(noise / noise.std(), np.float32)


def halved(stream: Array) -> Array:
    """Resample by one half (16 to 8 kHz) with an ideal low pass."""
    count = len(stream) // 2
    return np.asarray(np.fft.irfft(np.fft.rfft(stream)[: count // 2 + 1], count) / 2, np.float32)


def _read_wave(path: Path) -> bytes:
    with wave.open(str(path)) as reader:
        assert (reader.getframerate(), reader.getnchannels(), reader.getsampwidth()) == (RATE, 1, 2)
        samples: bytes = reader.readframes(reader.getnframes())
    return samples
