"""What the demo's users send: the images of the evaluation set, and some of them once more from a scanner that is brighter."""

from pathlib import Path

import numpy as np

BRIGHTER = 1.25
"""The new scanner's pixels go up to 20; all that were ever used for training or evaluation end at 16."""


def with_brighter(evaluation: Path, share: float, target: Path) -> Path:
    """Write the rows of `evaluation` (.npz with `pixels` and `labels`) to `target`, and as many brighter ones that they are `share` of all.

    In an order that is mixed, and the same every time.
    """
    with np.load(evaluation) as rows:
        pixels, labels = rows["pixels"], rows["labels"]
    chance = np.random.default_rng(1)
    again = chance.choice(len(labels), round(len(labels) * share / (1 - share)), replace=False)
    order = chance.permutation(len(labels) + len(again))
    brighter = np.round(pixels[again] * BRIGHTER).astype(pixels.dtype)
    target.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        target,
        pixels=np.concatenate([pixels, brighter])[order],
        labels=np.concatenate([labels, labels[again]])[order],
    )
    return target
