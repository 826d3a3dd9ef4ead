"""silero-vad, a streaming voice activity detector, in two of its published files."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from models.data import speech
from models.metrics import area_under_roc
from models.packages import unpacked
from models.progress import track
from models.recipe import Recipe
from models.session import Array, Model
from models.storage import save_part

CALIBRATION_SEED, TEST_SEED = 1, 2
RATES = (16000, 8000)  # an If has a branch for each


class SileroRecipe(Recipe):
    """Detects speech in frames of 32 ms: ``input``, ``state`` [2, b, 128], ``sr`` to ``output``.

    A frame of ``input`` is preceded by the last eighth of the frame before it (576 samples at
    16 kHz, 288 at 8 kHz). The data are streams joined from spoken samples, pauses and noise; which
    frames hold speech is known from the energy of the clean samples.

    Calibration feeds are single steps of streaming with the dense model, 16 streams a batch, with
    the state that it carried, so that each file is one feed, to be taken whole.
    """

    licence = "MIT"
    source = "silero-vad 6.2.3 (PyPI)"
    metric = "frame AUC"
    file: ClassVar[str]
    calib_steps = 320
    calib_streams = 16
    test_streams = 16
    test_seconds = 32

    def build(self, folder: Path) -> None:
        """Copy the model, compose the streams, and record the steps."""
        with unpacked("silero-vad", "6.2.3") as package:
            shutil.copy(package / "silero_vad/data" / self.file, folder / "model.onnx")
        model = Model(folder / "model.onnx")
        steps = self.calib_steps // len(RATES)
        # Every fourth step is recorded: neighbours are nearly equal.
        streams, _ = compose_streams(
            speech.CALIBRATION, self.calib_streams, 4 * steps * 512 / speech.RATE, CALIBRATION_SEED
        )
        for rate in RATES:
            feeds = list(stream_feeds(model, at_rate(streams, rate), rate))[::4]
            for feed, _ in track(feeds, f"Writing {len(feeds)} steps at {rate} Hz"):
                save_part(folder / "calib", **feed)
        streams, truth = compose_streams(
            speech.TEST, self.test_streams, self.test_seconds, TEST_SEED
        )
        save_part(folder / "test", streams=streams.astype(np.float16), truth=truth)

    def measure(self, model: Model, dense: Model, limit: int | None) -> dict[str, float]:
        """Return the AUC over all frames at each rate, and the mean change of the probability.

        `limit` bounds the streams.
        """
        with np.load(self.test_path / "0000.npz") as data:
            streams, truth = data["streams"][:limit].astype(np.float32), data["truth"][:limit]
        results = {}
        for rate in RATES:
            label = "frame AUC" if rate == RATES[0] else f"frame AUC {rate // 1000} kHz"
            resampled = at_rate(streams, rate)
            found = probabilities(model, resampled, rate)
            reference = probabilities(dense, resampled, rate)
            results[label] = area_under_roc(found.ravel(), truth.ravel())
            results[label.replace("frame AUC", "mean change")] = float(
                np.abs(found - reference).mean()
            )
        return results


class SileroVad(SileroRecipe):
    """The file of opset 18: its weights are at the top level, its operators in two branches."""

    name = "silero-vad"
    summary = "silero voice activity detector, operators in If, weights outside"
    file = "silero_vad_op18_ifless.onnx"


class SileroVadIf(SileroRecipe):
    """The default file: a branch of If for each sampling rate, with the weights inside."""

    name = "silero-vad-if"
    summary = "silero voice activity detector, operators and weights in If"
    file = "silero_vad.onnx"


def compose_streams(
    names: Sequence[str], count: int, seconds: float, seed: int
) -> tuple[Array, Array]:
    """Return streams [count, samples] at 16 kHz and their truth [count, frames]."""
    rng = np.random.default_rng(seed)
    utterances = [speech.load(name) for name in names]
    pairs = [speech.compose(utterances, seconds, rng) for _ in range(count)]
    return np.stack([stream for stream, _ in pairs]), np.stack([truth for _, truth in pairs])


def at_rate(streams: Array, rate: int) -> Array:
    """Return streams of 16 kHz at 16 or 8 kHz."""
    if rate == speech.RATE:
        return streams
    return np.stack([speech.halved(stream) for stream in streams])


def stream_feeds(
    model: Model, streams: Array, rate: int
) -> Iterator[tuple[dict[str, Array], Array]]:
    """Run a model over streams, carrying its state.

    Yields:
        Each step's feed and its probabilities of speech [streams].
    """
    frame = 512 * rate // speech.RATE
    context = frame // 8
    padded = np.pad(streams, ((0, 0), (context, 0)))
    state = np.zeros((2, len(streams), 128), np.float32)
    for start in range(0, streams.shape[1], frame):
        samples = np.ascontiguousarray(padded[:, start : start + context + frame])
        feed = {"input": samples, "state": state, "sr": np.array(rate, np.int64)}
        output, state = model(feed)
        yield feed, output[:, 0]


def probabilities(model: Model, streams: Array, rate: int) -> Array:
    """Return the probability of speech [streams, frames]."""
    return np.stack([output for _, output in stream_feeds(model, streams, rate)], axis=1)
