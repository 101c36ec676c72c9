"""Made-up traffic: how many requests each version has in a second, and how many of them are bad."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchmarks.analysis.plan import BASE, GROUP, RATES
from luntra_operator.analysis.evidence import Counts

if TYPE_CHECKING:
    from luntra_operator.analysis.evariable import Floats

_LEAVE, _ENTER = 1 / 30, 1 / 270
_QUIET, _TROUBLED = 0.5 * BASE, 5.5 * BASE


class Traffic:
    """Seconds of `runs` rollouts in which both versions are alike in the long run; `kind` is one of `plan.TRAFFICS`."""

    def __init__(self, kind: str, runs: int, seed: int) -> None:
        self._kind, self._random = kind, np.random.default_rng(seed)
        self._second = 0
        self._rates = np.repeat(np.array(RATES)[:, None], runs, axis=1)
        self._troubled = self._random.random((2, runs)) < _ENTER / (_ENTER + _LEAVE)

    def second(self) -> tuple[Counts, Counts]:
        """The next second's counts of candidate and stable."""
        self._second += 1
        rates = self._rates
        if self._kind == "unequal load":
            rates = rates * self._random.gamma(0.3, 1 / 0.3, rates.shape)
        group = GROUP if self._kind == "bursty" else 1
        total = self._random.poisson(rates / group)
        bad = self._random.binomial(total, self._shares())
        first, second = (
            Counts(group * b.astype(float), group * t.astype(float)) for b, t in zip(bad, total, strict=True)
        )
        return first, second

    def _shares(self) -> Floats:
        if self._kind == "rare":
            return np.full(self._rates.shape, BASE / 10)
        if self._kind == "wave":
            return np.full(self._rates.shape, BASE * 10 ** (0.5 * np.sin(2 * np.pi * self._second / 3600)))
        if self._kind in ("common episodes", "own episodes"):
            change = self._random.random(self._troubled.shape) < np.where(self._troubled, _LEAVE, _ENTER)
            self._troubled ^= change
            troubled = self._troubled if self._kind == "own episodes" else self._troubled[:1]
            return np.broadcast_to(np.where(troubled, _TROUBLED, _QUIET), self._rates.shape)
        return np.full(self._rates.shape, BASE)


def steady(random: np.random.Generator, rate: float, share: float, runs: int) -> Counts:
    """One second of independent requests."""
    total = random.poisson(rate, runs)
    return Counts(random.binomial(total, share).astype(float), total.astype(float))
