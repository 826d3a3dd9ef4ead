"""The networks that are trained here. This module needs torch: import it inside functions."""

import torch
from torch import Tensor, nn


def cnn() -> nn.Module:
    """Return a plain convolutional network of 391 k parameters."""

    def block(inputs: int, outputs: int) -> list[nn.Module]:
        convolution = nn.Conv2d(inputs, outputs, 3, padding=1)
        # The maximum before the ReLU is the same function, and cheaper.
        return [convolution, nn.BatchNorm2d(outputs), nn.MaxPool2d(2), nn.ReLU()]

    return nn.Sequential(
        *block(1, 32),
        *block(32, 64),
        *block(64, 128),
        nn.Flatten(),
        nn.Linear(128 * 3 * 3, 256),
        nn.ReLU(),
        nn.Dropout(0.25),
        nn.Linear(256, 10),
    )


class Residual(nn.Module):
    """A basic residual block: two 3x3 convolutions and a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map [b, inputs, h, w] to [b, outputs, h/stride, w/stride]."""
        return torch.relu(self.body(x) + self.shortcut(x))


def resnet() -> nn.Module:
    """Return a residual network of 174 k parameters whose stem has stride 2."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, 2, 1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        Residual(16, 16, 1),
        Residual(16, 16, 1),
        Residual(16, 32, 2),
        Residual(32, 32, 1),
        Residual(32, 64, 2),
        Residual(64, 64, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, 10),
    )


class Attention(nn.Module):
    """Multi-head self-attention, written out so that its export is plain MatMuls."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query_key_value = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map [b, t, width] to the same shape."""
        shape = (x.shape[0], x.shape[1], self.heads, x.shape[2] // self.heads)
        q, k, v = (
            part.reshape(shape).transpose(1, 2) for part in self.query_key_value(x).chunk(3, dim=-1)
        )
        scores = torch.softmax(q @ k.transpose(2, 3) * shape[3] ** -0.5, dim=-1)
        mixed: Tensor = self.project((scores @ v).transpose(1, 2).reshape(x.shape))
        return mixed


class Encoder(nn.Module):
    """A pre-norm transformer layer."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention = nn.Sequential(nn.LayerNorm(width), Attention(width, heads))
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, 4 * width),
            nn.GELU(),
            nn.Linear(4 * width, width),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map [b, t, width] to the same shape."""
        x = x + self.attention(x)
        y: Tensor = x + self.feed_forward(x)
        return y


class VisionTransformer(nn.Module):
    """A vision transformer on patches of 7 x 7: 16 tokens, width 96, 4 layers, mean pooling."""

    def __init__(self, width: int = 96, layers: int = 4, heads: int = 4) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, width, 7, 7)
        self.positions = nn.Parameter(torch.randn(1, 16, width) * 0.02)
        self.layers = nn.Sequential(*(Encoder(width, heads) for _ in range(layers)))
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 10))

    def forward(self, image: Tensor) -> Tensor:
        """Map images [b, 1, 28, 28] to logits [b, 10]."""
        tokens = self.patches(image).flatten(2).transpose(1, 2) + self.positions
        logits: Tensor = self.head(self.layers(tokens).mean(dim=1))
        return logits
