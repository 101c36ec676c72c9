"""The rules that are compared, each for many rollouts at once: ours, a fixed threshold, a chi-squared test that is repeated."""

from __future__ import annotations

from math import log
from typing import TYPE_CHECKING, Protocol

import numpy as np
from scipy.stats import norm

from benchmarks.analysis.plan import BOUND, WINDOW
from luntra_operator.analysis.evidence import Counts
from luntra_operator.analysis.proportions import Limits, Proportions

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Rule(Protocol):
    """Says after each second which rollouts it would take back now."""

    def after(self, candidate: Counts, stable: Counts) -> NDArray[np.bool_]:
        """Look at one more second."""


class Ours:
    """`Proportions`; `history` is what was known of the stable version before."""

    def __init__(
        self,
        runs: int,
        alpha: float,
        dispersion: float = 1,
        ratio: float = 1.0,
        history: Counts | None = None,
        *,
        measured: bool = False,
    ) -> None:
        self._enough = -log(alpha)
        process = Proportions.start(Limits(ratio=ratio), alpha, dispersion, shape=(runs,), measured=measured)
        self._process = process.known(history) if history else process

    def after(self, candidate: Counts, stable: Counts) -> NDArray[np.bool_]:
        """Look at one more second."""
        self._process = self._process.after(candidate, stable)
        return np.asarray(self._process.log >= self._enough)


class FixedThreshold:
    """As Flagger and Argo Rollouts: once a minute, the candidate's share in it against a bound; so many failed checks in all."""

    def __init__(self, runs: int, base: float, failures: int) -> None:
        self._bound, self._needed = BOUND * base, failures
        self._failed = np.zeros(runs, dtype=int)
        self._minute, self._seconds = Counts(np.zeros(runs), np.zeros(runs)), 0

    def after(self, candidate: Counts, stable: Counts) -> NDArray[np.bool_]:
        """Look at one more second."""
        del stable
        self._minute += candidate
        self._seconds += 1
        if self._seconds == WINDOW:
            self._failed += self._minute.bad > self._bound * self._minute.total
            self._minute, self._seconds = (
                Counts(np.zeros_like(self._failed, dtype=float), np.zeros_like(self._failed, dtype=float)),
                0,
            )
        return self._failed >= self._needed


class ChiSquared:
    """Pearson's test of all that was counted so far, one-sided, every second as if it were the only look.

    It begins when five bad requests of the candidate are to be expected, as textbooks have it.
    """

    def __init__(self, runs: int, alpha: float) -> None:
        self._critical = float(norm.isf(alpha))
        self._candidate = self._stable = Counts(np.zeros(runs), np.zeros(runs))

    def after(self, candidate: Counts, stable: Counts) -> NDArray[np.bool_]:
        """Look at one more second."""
        self._candidate += candidate
        self._stable += stable
        mine, theirs = self._candidate, self._stable
        n, m = np.maximum(mine.total, 1), np.maximum(theirs.total, 1)
        both = (mine.bad + theirs.bad) / (n + m)
        scatter = np.sqrt(np.maximum(both * (1 - both) * (1 / n + 1 / m), 1e-18))
        return np.asarray(((mine.bad / n - theirs.bad / m) / scatter > self._critical) & (n * both >= 5))
