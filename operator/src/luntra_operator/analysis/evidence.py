"""Evidence that grows from look to look: a bet on how bad the candidate is, renewed before each look.

Nobody knows beforehand how much worse a bad candidate is. So a share of the stake is bet on each of a dozen proportions between the
margin and nearly 1, one share on what was seen so far, and one on what was seen lately; whichever comes true makes the whole grow.
What the stable version's proportion is comes from what was seen of it.

Requests come in groups that fail together: retries, batches, one client's bad input. Counts then scatter more than coins do. By a
`dispersion` the evidence of a look is taken to the power 1/dispersion, as if so many requests were one. It is valid for requests that
come in groups of up to so many, all of a group in one look: of each group the mean of a root is at most the root of the mean.
"""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from .evariable import Floats, Margin, log_evidence
from .stakes import Stakes

_BETS = 12
_LARGEST = 0.98
_EDGE = _LARGEST / 1.02
_LARGEST_ODDS = np.log(_LARGEST / (1 - _LARGEST))
_PLACES = ((np.arange(_BETS) + 0.5) / _BETS) ** 1.5
"""Where the dozen bets are between the margin (0) and the largest (1), in log odds."""

_LONG, _LATELY = 0.999, 0.98
"""Weight that a look's counts lose by each later one in what is bet on; evidence loses none."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Of `total` requests, `bad` were bad; arrays of them are allowed, one for each of many tests at once."""

    bad: float | Floats = 0.0
    total: float | Floats = 0.0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.bad + other.bad, self.total + other.total)

    def fading(self, other: "Counts", weight: float) -> "Counts":
        """What is known after `other` too, where all that was before counts so much less."""
        return Counts(self.bad * weight + other.bad, self.total * weight + other.total)

    def where(self, chosen: NDArray[np.bool_], other: "Counts") -> "Counts":
        """These where they are `chosen`, the other's elsewhere."""
        return Counts(np.where(chosen, self.bad, other.bad), np.where(chosen, self.total, other.total))

    @property
    def guess(self) -> Floats:
        """A proportion that fits, never 0 or 1 (Krichevsky and Trofimov's estimate)."""
        return (np.asarray(self.bad, dtype=float) + 0.5) / (np.asarray(self.total, dtype=float) + 1.0)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What all looks so far say against "within the margin".

    `waiting` are counts of both versions that say nothing yet: where there is little traffic, most looks have requests of one version
    only, with nothing to compare them with. They wait for the other's, whether good or bad, and what is bet on and how many count
    as one (`together`) stay as they were before the first of them; so to wait makes no evidence by itself. Only what comes of the
    stable version before the candidate's first request does not wait: it teaches what to bet on.
    """

    margin: Margin
    stakes: Stakes
    candidate: Counts = field(default_factory=Counts)
    lately: Counts = field(default_factory=Counts)
    stable: Counts = field(default_factory=Counts)
    waiting: tuple[Counts, Counts] = (Counts(), Counts())
    together: float | Floats = 1.0

    @staticmethod
    def start(margin: Margin, stake: float = 0.0, shape: tuple[int, ...] = ()) -> "Evidence":
        """Begin with no looks, and with what another process had where that was interrupted (`stake`, a log).

        It is of many tests at once for arrays of counts of that `shape`.
        """
        return Evidence(margin, Stakes.start(_BETS, 2, stake, shape))

    def known(self, stable: Counts) -> "Evidence":
        """The same after counts of the stable version alone, from before there was a candidate: they teach what to bet on."""
        return replace(self, stable=self.stable + stable)

    def after(self, candidate: Counts, stable: Counts, dispersion: float | Floats = 1.0) -> "Evidence":
        """The same after one more look: what has come since the last one, of both versions; so many requests count as one."""
        begun = np.asarray(self.waiting[0].total + self.waiting[1].total) > 0
        together = np.where(begun, self.together, dispersion)
        candidate, stable = self.waiting[0] + candidate, self.waiting[1] + stable
        whole = np.asarray(candidate.total) > 0
        if self.margin.ratio:
            whole = whole & (np.asarray(stable.total) > 0)
        learnt = whole | (np.asarray(self.candidate.total + candidate.total) == 0)
        found = log_evidence(
            self.margin,
            (_column(candidate.bad), _column(candidate.total)),
            (_column(stable.bad), _column(stable.total)),
            self._bets(),
        )
        return replace(
            self,
            stakes=self.stakes.after(np.where(np.asarray(whole)[..., None], found / _column(together), 0.0)),
            candidate=self.candidate.fading(candidate, _LONG).where(learnt, self.candidate),
            lately=self.lately.fading(candidate, _LATELY).where(learnt, self.lately),
            stable=self.stable.fading(stable, _LONG).where(learnt, self.stable),
            waiting=(Counts().where(learnt, candidate), Counts().where(learnt, stable)),
            together=together,
        )

    def _bets(self) -> tuple[Floats, Floats]:
        """Pairs of proportions (candidate's, stable's), from what was seen before."""
        stable = _column(self.stable.guess)
        edge = np.minimum(self.margin.most(stable), _EDGE)
        low = np.log(edge / (1 - edge))
        bets = np.empty((*self.stakes.logs.shape[:-1], _BETS + 2))
        bets[..., :_BETS] = 1 / (1 + np.exp(-(low + (_LARGEST_ODDS - low) * _PLACES)))
        bets[..., _BETS] = np.minimum(self.candidate.guess, _LARGEST)
        bets[..., _BETS + 1] = np.minimum(self.lately.guess, _LARGEST)
        return bets, stable

    @property
    def log(self) -> Floats:
        """Natural log of the evidence; ln(1/alpha) is as much as refuses at that alpha."""
        return self.stakes.log

    @property
    def p(self) -> Floats:
        """An upper bound of the chance of so much evidence where there is nothing to find; holds at any time."""
        return np.asarray(np.minimum(1.0, np.exp(-self.log)))


def _column(value: float | Floats) -> Floats:
    return np.asarray(value, dtype=float)[..., None]
