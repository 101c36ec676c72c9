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


class Referenced(nn.Module):
    """v4: classifies a reference set anew with every request, to scale its confidence by that set's.

    Accurate, and far too slow for one image: the reference set costs the same whatever is asked.
    """

    reference: Tensor

    def __init__(self, cnn: Cnn, reference: Tensor) -> None:
        super().__init__()
        self.cnn = cnn
        self.register_buffer("reference", reference)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return logits in units of the reference set's standard deviation."""
        logits: Tensor = self.cnn(torch.cat([self.reference, pixels]))
        count = self.reference.shape[0]
        return logits[count:] / logits[:count].std()


class Lookup(nn.Module):
    """v5: gets raw pixels and looks each one up in a table of the 17 values that there are, instead of normalising it.

    As accurate as the network behind it; a pixel that is brighter than all that were ever seen is outside of the table.
    """

    def __init__(self, cnn: Cnn, table: Tensor) -> None:
        super().__init__()
        self.cnn = cnn
        self.normalised = nn.Embedding.from_pretrained(table.unsqueeze(1))

    def forward(self, pixels: Tensor) -> Tensor:
        """Return logits; raises for pixels above 16."""
        logits: Tensor = self.cnn(self.normalised(pixels.to(torch.int64)).squeeze(-1))
        return logits
