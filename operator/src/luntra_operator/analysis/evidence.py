"""Evidence that grows from look to look: a bet on how bad the candidate is, renewed before each look.

Nobody knows beforehand how much worse a bad candidate is. So a share of the stake is bet on each of a dozen proportions between the
margin and nearly 1, and one share on what was seen so far; whichever comes true makes the whole grow. What the stable version's
proportion is comes from what was seen of it.

Requests come in groups that fail together: retries, batches, one client's bad input. Counts then scatter more than coins do. By
`dispersion` all evidence is taken to the power 1/dispersion, as if so many requests were one; it stays valid for independent
requests, as the mean of a root is at most the root of the mean.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from .evariable import Floats, Margin, log_evidence

BETS = 12
_LARGEST = 0.98
_DISCOUNT = 0.999
"""Weight that a look's counts lose by each later one in what is bet on, so that a change of load is followed; evidence loses none."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Of `total` requests, `bad` were bad; arrays of them are allowed, one for each of many tests at once."""

    bad: float | Floats = 0.0
    total: float | Floats = 0.0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.bad + other.bad, self.total + other.total)

    def discounted(self) -> "Counts":
        """What is left of it for the next bet."""
        return Counts(self.bad * _DISCOUNT, self.total * _DISCOUNT)

    @property
    def guess(self) -> Floats:
        """A proportion that fits, never 0 or 1 (Krichevsky and Trofimov's estimate)."""
        return (np.asarray(self.bad, dtype=float) + 0.5) / (np.asarray(self.total, dtype=float) + 1.0)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What all looks so far say against "within the margin".

    `logs` has the log of what each share of the stake has become, in its last axis; `stake` is the log of what was there at
    the beginning, which is another process's end where that was interrupted.
    """

    margin: Margin
    dispersion: float
    stake: float
    logs: Floats
    candidate: Counts = field(default_factory=Counts)
    stable: Counts = field(default_factory=Counts)

    @staticmethod
    def start(margin: Margin, dispersion: float = 1.0, stake: float = 0.0, shape: tuple[int, ...] = ()) -> "Evidence":
        """Begin with no looks; of many tests at once for arrays of counts of that `shape`."""
        return Evidence(margin, dispersion, stake, logs=np.zeros((*shape, BETS + 1)))

    def known(self, stable: Counts) -> "Evidence":
        """The same after counts of the stable version alone, from before there was a candidate: they teach what to bet on."""
        return replace(self, stable=self.stable + stable)

    def after(self, candidate: Counts, stable: Counts) -> "Evidence":
        """The same after one more look: what has come since the last one, of both versions."""
        bets = self._bets()
        found = log_evidence(
            self.margin,
            (_column(candidate.bad), _column(candidate.total)),
            (_column(stable.bad), _column(stable.total)),
            bets,
        )
        return replace(
            self,
            candidate=self.candidate.discounted() + candidate,
            stable=self.stable.discounted() + stable,
            logs=self.logs + found / self.dispersion,
        )

    def _bets(self) -> tuple[Floats, Floats]:
        """Pairs of proportions (candidate's, stable's), from what was seen before."""
        stable = _column(self.stable.guess)
        edge = np.minimum(self.margin.most(stable), _LARGEST / 1.02)
        low, high = np.log(edge / (1 - edge)), np.log(_LARGEST / (1 - _LARGEST))
        steps = (np.arange(BETS) + 0.5) / BETS
        spread = 1 / (1 + np.exp(-(low + (high - low) * steps**1.5)))
        seen = np.clip(_column(self.candidate.guess), None, _LARGEST)
        seen = np.broadcast_to(seen, (*spread.shape[:-1], 1))
        return np.concatenate([spread, seen], axis=-1), stable

    @property
    def log(self) -> Floats:
        """Natural log of the evidence; ln(1/alpha) is as much as refuses at that alpha."""
        top = self.logs.max(axis=-1, keepdims=True)
        return np.asarray(self.stake + (top + np.log(np.exp(self.logs - top).mean(axis=-1, keepdims=True)))[..., 0])

    @property
    def p(self) -> Floats:
        """An upper bound of the chance of so much evidence where there is nothing to find; holds at any time."""
        return np.asarray(np.minimum(1.0, np.exp(-self.log)))


def _column(value: float | Floats) -> Floats:
    return np.asarray(value, dtype=float)[..., None]
