"""Judge a share of bad requests (errors, requests slower than the objective, wrong answers), at every look, as often as one likes.

`Proportions` holds what all looks so far say; `after` gives the next one, so that it may be kept, thrown away or rebuilt. It knows
neither what a bad request is nor what follows from a verdict.

What fails: a share above `most`; or a share that is above `increase` more than the stable version's and also above `ratio` times it,
where both are declared. That is, the candidate may have whatever the more generous of the two allows: a ratio alone would refuse
one error more where there are next to none, an increase alone allows too much there and too little where there are many. `most`
is a bound of its own, and either refuses.

All limits of a metric are one test: "every limit is kept" is refused by the mean of the evidence against `most` and against the
comparison. The mean of two e-variables is one, so alpha is not divided; against "both are exceeded" it is the lesser of the two
that counts, as it is valid whichever of them is kept.

A fail needs evidence of 1/alpha, however few requests that took: it is valid at any number, and three out of three bad ones are
enough against a stable version that is seldom wrong. A pass needs `least_samples` of each version that is compared, and says no
more than that nothing speaks against the candidate yet; fewer are no data.
"""

from dataclasses import dataclass, field, replace
from math import inf, isfinite, log
from typing import Literal

import numpy as np

from .dispersion import Dispersion
from .evariable import Floats, Margin
from .evidence import Counts, Evidence

LEAST_SAMPLES = 50
_NONE_AT_ALL = 1e-9
"""What the bound 0 is taken for where evidence is gathered, as no finite amount of it could be kept otherwise."""


NOTHING = Counts()


@dataclass(frozen=True, slots=True)
class Limits:
    """What share of the candidate's requests may be bad, at least one of the first three.

    Attributes:
        most: bound of the share, from 0 (not one) to less than 1.
        increase: how far, as a difference, the share may be above the stable version's.
        ratio: the multiple of the stable version's share that is allowed.
        least_samples: requests of each version that a pass needs; of the candidate alone where nothing is compared.

    Raises:
        ValueError: a limit that means nothing, or none.
    """

    most: float | None = None
    increase: float | None = None
    ratio: float | None = None
    least_samples: int = LEAST_SAMPLES

    def __post_init__(self) -> None:
        if self.most is self.increase is self.ratio is None:
            raise ValueError("none of most, increase and ratio is given; at least one is needed")
        for name, value in (("most", self.most), ("increase", self.increase)):
            if value is not None and not 0 <= value < 1:
                raise ValueError(f"{name} {value:g} must be at least 0 and less than 1")
        if self.ratio is not None and not (isfinite(self.ratio) and self.ratio > 0):
            raise ValueError(f"ratio {self.ratio:g} must be greater than 0")
        if self.least_samples < 1:
            raise ValueError(f"least_samples {self.least_samples} must be at least 1")

    @property
    def compared(self) -> bool:
        """Whether the stable version matters."""
        return self.increase is not None or self.ratio is not None

    @property
    def margins(self) -> tuple[Margin, ...]:
        """What each limit allows: `most` first, then `increase`, then `ratio`."""
        most = () if self.most is None else (Margin(0.0, max(self.most, _NONE_AT_ALL)),)
        increase = () if self.increase is None else (Margin(1.0, self.increase),)
        ratio = () if self.ratio is None else (Margin(self.ratio, 0.0),)
        return most + increase + ratio


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found, with the figures behind it; `explanation.explain` puts it into words.

    Attributes:
        verdict: as in the module's docstring.
        limits: what was judged by.
        broken: which limit weighs most in a fail: `most`, or the comparison by `increase` and `ratio`.
        share: the candidate's, of `samples` requests; 0 where there are none.
        stable_share: the stable version's, of `stable_samples`; None where there are none or nothing is compared.
        p: an upper bound, valid at any look, of the chance of so much evidence where all limits are kept.
        evidence: log of the evidence against each limit, in the order of `Limits.margins`: the `stakes` of a process that goes on.
    """

    verdict: Literal["Pass", "Fail", "NoData"]
    limits: Limits
    broken: Literal["most", "comparison"] | None
    share: float
    samples: float
    stable_share: float | None
    stable_samples: float
    p: float
    evidence: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Proportions:
    """What all looks so far say about one metric; see `start`.

    Arrays of counts are allowed in `after`, one element for each of many rollouts; `log` then has one for each, and `finding`,
    which is of one, does not apply.
    """

    limits: Limits
    alpha: float
    dispersion: float
    processes: tuple[Evidence, ...]
    candidate: Counts = field(default_factory=Counts)
    stable: Counts = field(default_factory=Counts)
    cold: Counts = field(default_factory=Counts)
    scatter: Dispersion | None = None

    @staticmethod
    def start(
        limits: Limits,
        alpha: float,
        dispersion: float = 1.0,
        stakes: tuple[float, ...] = (),
        shape: tuple[int, ...] = (),
        *,
        measured: bool = False,
    ) -> "Proportions":
        """Begin a test that refuses a candidate that keeps its limits with a chance of at most `alpha`.

        Where an operator was restarted, `stakes` are the `evidence` of the last finding that it kept; what was counted since is
        lost, which takes nothing from the guarantee. `dispersion` is how many requests fail together (docs/statistics.md); with
        `measured` at least, and more where the stable version shows more.

        Raises:
            ValueError: an alpha outside of 0..1, a dispersion below 1, or stakes that are not of these limits.
        """
        margins = limits.margins
        checked_start(alpha, dispersion, stakes)
        if stakes and len(stakes) != len(margins):
            raise ValueError(f"stakes {stakes} must be {len(margins)} numbers, one for each limit")
        processes = tuple(
            Evidence.start(margin, stake, shape)
            for margin, stake in zip(margins, stakes or (0.0,) * len(margins), strict=True)
        )
        return Proportions(limits, alpha, dispersion, processes, scatter=Dispersion(dispersion) if measured else None)

    @property
    def together(self) -> float | Floats:
        """How many requests count as one now."""
        return self.dispersion if self.scatter is None else self.scatter.value

    def known(self, stable: Counts) -> "Proportions":
        """The same after counts of the stable version alone, from before there was a candidate: they teach what to bet on."""
        checked = checked_counts(stable, "stable version")
        return replace(self, processes=tuple(process.known(checked) for process in self.processes))

    def after(self, candidate: Counts, stable: Counts, cold: Counts = NOTHING) -> "Proportions":
        """The same after one more look: what has come since the last one.

        `cold` are requests of the candidate's that came while its pods warmed up (`counters`): `most` alone applies to them.

        Raises:
            ValueError: counts that are negative, not finite, or have more bad requests than requests.
        """
        candidate, stable, cold = (
            checked_counts(candidate, "candidate"),
            checked_counts(stable, "stable version"),
            checked_counts(cold, "candidate, cold"),
        )
        together = self.together  # as it was measured before this look
        return replace(
            self,
            scatter=None if self.scatter is None else self.scatter.after(stable),
            processes=tuple(
                process.after(candidate + cold if process.margin.ratio == 0 else candidate, stable, together)
                for process in self.processes
            ),
            candidate=self.candidate + candidate,
            stable=self.stable + stable,
            cold=self.cold + cold,
        )

    @property
    def log(self) -> Floats:
        """Natural log of the evidence that some limit is not kept; ln(1/alpha) of it refuses."""
        return np.logaddexp(*sides) - log(2) if len(sides := self._sides()) > 1 else sides[0]

    def _sides(self) -> list[Floats]:
        """Log of the evidence against `most` and against the comparison, as far as they are declared."""
        logs = [process.log for process in self.processes]
        bound = [] if self.limits.most is None else [logs.pop(0)]
        return bound + ([np.minimum.reduce(logs)] if logs else [])

    @property
    def finding(self) -> Finding:
        """What all looks so far say."""
        limits, sides = self.limits, self._sides()
        evidence = float(self.log)
        if limits.most == 0 and float(self.candidate.bad + self.cold.bad) > 0:
            evidence, sides[0] = inf, np.asarray(inf)  # it cannot be where none is allowed
        broken: Literal["most", "comparison"] | None = None
        if evidence >= -log(self.alpha):
            broken = "most" if limits.most is not None and sides[0] == max(sides) else "comparison"
        judged = self.candidate if limits.compared and broken != "most" else self.candidate + self.cold
        bad, samples = float(judged.bad), float(judged.total)
        stable_bad, stable_samples = float(self.stable.bad), float(self.stable.total)
        enough = min(samples, stable_samples if limits.compared else samples) >= limits.least_samples
        return Finding(
            verdict="Fail" if broken else "Pass" if enough else "NoData",
            limits=limits,
            broken=broken,
            share=bad / samples if samples else 0.0,
            samples=samples,
            stable_share=stable_bad / stable_samples if limits.compared and stable_samples else None,
            stable_samples=stable_samples,
            p=float(np.exp(min(0.0, -evidence))),
            evidence=tuple(float(process.log) for process in self.processes),
        )


def checked_start(alpha: float, dispersion: float, stakes: tuple[float, ...] = ()) -> None:
    """Raise ValueError for what no test can begin with: an alpha outside of 0..1, a dispersion below 1, infinite stakes."""
    if not 0 < alpha < 1:
        raise ValueError(f"alpha {alpha:g} must be between 0 and 1")
    if not (isfinite(dispersion) and dispersion >= 1):
        raise ValueError(f"dispersion {dispersion:g} must be at least 1")
    if not all(map(isfinite, stakes)):
        raise ValueError(f"stakes {stakes} must be finite")


def checked_counts(counts: Counts, whose: str) -> Counts:
    """The same counts. Raises ValueError if they are negative, not finite, or more bad than there are."""
    bad, total = np.asarray(counts.bad), np.asarray(counts.total)
    if not np.all((bad >= 0) & (bad <= total) & (total < np.inf)):
        raise ValueError(f"counts of the {whose}: {counts.bad} bad of {counts.total}; must be 0 <= bad <= total")
    return counts
