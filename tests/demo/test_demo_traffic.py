"""What the demo's users send."""

from pathlib import Path

import numpy as np

from e2e.demo.traffic import with_brighter
from luntra_operator.checks.dataset import load


def evaluation(folder: Path) -> Path:
    pixels = np.tile(np.arange(90, dtype=np.float32)[:, None] % 17, (1, 64))
    np.savez(folder / "eval.npz", pixels=pixels, labels=np.arange(90, dtype=np.int64))
    return folder / "eval.npz"


def test_a_tenth_of_the_requests_comes_from_a_brighter_scanner(tmp_path: Path) -> None:
    path = with_brighter(evaluation(tmp_path), 0.1, tmp_path / "new" / "rows.npz")
    rows = load(path.read_bytes())
    pixels, labels = rows.rows["pixels"], rows.labels
    assert len(labels) == 100
    assert sorted({*labels.tolist()}) == list(range(90))
    again = pixels[:, 0] != labels % 17
    assert np.allclose(pixels[again, 0], np.round(labels[again] % 17 * 1.25))
    assert pixels.dtype == np.float32


def test_the_same_rows_come_in_the_same_mixed_order(tmp_path: Path) -> None:
    source = evaluation(tmp_path)
    orders = [
        load(with_brighter(source, 0.1, tmp_path / name).read_bytes()).labels.tolist() for name in ("a.npz", "b.npz")
    ]
    assert orders[0] == orders[1] != sorted(orders[0])
