"""Training of the small classifiers. This module needs torch: import it inside functions."""

import numpy as np
import torch
from torch import nn

from models.progress import say
from models.session import Array

SEED = 0


def train_classifier(
    network: nn.Module, images: Array, labels: Array, *, epochs: int, peak_rate: float
) -> nn.Module:
    """Train with AdamW under a one-cycle schedule, on random flips; return it in eval mode.

    The result repeats exactly on one machine and torch build; the order of sums differs elsewhere.

    Args:
        network: from `models.networks`, built under `seeded`.
        images: float32 [n, 1, h, w].
        labels: int64 [n].
        epochs: passes over the data.
        peak_rate: the highest learning rate.
    """
    batch = 128
    x, y = torch.from_numpy(images), torch.from_numpy(labels)
    # Faster on a CPU. The stubs lack this overload.
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    steps = len(x) // batch
    optimizer = torch.optim.AdamW(network.parameters(), lr=peak_rate, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, peak_rate, total_steps=epochs * steps, pct_start=0.2
    )
    criterion = nn.CrossEntropyLoss(label_smoothing=0.05)
    network.train()
    for epoch in range(epochs):
        order = torch.randperm(len(x))
        total = 0.0
        for step in range(steps):
            chosen = order[step * batch : (step + 1) * batch]
            flip = torch.rand(batch, 1, 1, 1) < 0.5
            inputs = torch.where(flip, x[chosen].flip(3), x[chosen])
            loss = criterion(network(inputs), y[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        say(f"  epoch {epoch + 1} of {epochs}: loss {total / steps:.3f}")
    network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return network.eval()


def seeded() -> None:
    """Seed torch and ask for deterministic kernels."""
    torch.manual_seed(SEED)
    torch.use_deterministic_algorithms(mode=True)


def accuracy(network: nn.Module, images: Array, labels: Array) -> float:
    """Return the accuracy of a network in eval mode."""
    with torch.no_grad():
        hits = [
            network(torch.from_numpy(images[i : i + 500])).argmax(1).numpy() == labels[i : i + 500]
            for i in range(0, len(images), 500)
        ]
    return float(np.concatenate(hits).mean())
