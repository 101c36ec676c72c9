"""Alpha is that of a whole rollout, whatever the number of its metrics and however they hang together."""

from math import log

import numpy as np
import pytest

from luntra_operator.analysis.evidence import Counts
from luntra_operator.analysis.family import part
from luntra_operator.analysis.proportions import Limits, Proportions

ALPHA = 0.1


@pytest.mark.parametrize("together", [False, True])
def test_rollout_with_many_metrics_is_as_seldom_refused_as_one_with_one(together: bool) -> None:
    """Four metrics at the edge of their limits, independent or the same requests' to a large part."""
    random, runs, metrics = np.random.default_rng(8), 300, 4
    limits = [Limits(most=0.05), Limits(ratio=1.0), Limits(increase=0.0, most=0.05), Limits(ratio=1.0, most=0.5)]
    each = [Proportions.start(one, part(ALPHA, metrics), shape=(runs,)) for one in limits]
    highest = np.full((metrics, runs), -np.inf)
    for _ in range(300):
        draws = [random.binomial(size, 0.05, (metrics, runs)).astype(float) for size in (20, 60)]
        if together:
            draws = [np.repeat(one[:1], metrics, axis=0) for one in draws]
        each = [
            process.after(Counts(bad, np.full(runs, 20.0)), Counts(stable_bad, np.full(runs, 60.0)))
            for process, bad, stable_bad in zip(each, *draws, strict=True)
        ]
        highest = np.maximum(highest, [process.log for process in each])
    assert (highest >= -log(part(ALPHA, metrics))).any(axis=0).mean() <= ALPHA
    assert part(ALPHA, metrics) * metrics == pytest.approx(ALPHA)


@pytest.mark.parametrize(
    ("alpha", "metrics", "words"), [(0, 1, "alpha 0"), (1.5, 1, "alpha 1.5"), (0.1, 0, "0 metrics")]
)
def test_part_of_nothing_is_refused(alpha: float, metrics: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        part(alpha, metrics)
