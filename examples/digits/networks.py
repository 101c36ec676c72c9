"""The networks of the digits example. Their inputs are normalised pixels [batch, 64], their outputs logits [batch, 10].

Normalisation is not in here: it belongs to the bundle, whose constants the server applies.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

SIDE = 8


class Softmax(nn.Module):
    """v1: softmax regression, one weight for each pixel and digit."""

    def __init__(self) -> None:
        super().__init__()
        self.scores = nn.Linear(SIDE * SIDE, 10)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return logits."""
        scores: Tensor = self.scores(pixels)
        return scores


class Cnn(nn.Module):
    """v2: two small convolutions, which see that a stroke is the same stroke one pixel further."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Unflatten(1, (1, SIDE, SIDE)),
            nn.Conv2d(1, 16, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Dropout(0.25),
            nn.Linear(32 * (SIDE // 2) ** 2, 10),
        )

    def forward(self, pixels: Tensor) -> Tensor:
        """Return logits."""
        logits: Tensor = self.layers(pixels)
        return logits


class Jittered(nn.Module):
    """v4: asks v2 about many slightly disturbed copies of each image and averages. Accurate, and far too slow."""

    jitter: Tensor

    def __init__(self, cnn: Cnn, copies: int, strength: float, generator: torch.Generator) -> None:
        super().__init__()
        self.cnn = cnn
        self.register_buffer("jitter", strength * torch.randn(1, copies, SIDE * SIDE, generator=generator))

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the mean of the copies' logits."""
        copies = (pixels.unsqueeze(1) + self.jitter).reshape(-1, SIDE * SIDE)
        logits: Tensor = self.cnn(copies)
        return logits.reshape(-1, self.jitter.shape[1], 10).mean(dim=1)
