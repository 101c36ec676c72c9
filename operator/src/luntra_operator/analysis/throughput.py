"""Judge whether the candidate answers as many requests as it is given, by its share of all answers.

Answers per second alone say little: they follow the users. But of each look's answers of both versions, a candidate that gets the
share w of the requests and answers them as the stable version does has the share w, whatever the load; one that answers only the
part r of what is due has

    s(r, w) = r * w / (r * w + 1 - w)

The hypothesis is that the candidate answers at least `least` of what is due. Against it is bet, by likelihood ratios, on a dozen
parts below that; as it is a bound on one proportion, they are valid for any weights, which may change from look to look.

It does not apply where requests are not divided one by one: with session persistence the weight divides sessions, some of which ask
more than others, so that the share of the answers stays off for good. Then there is no dispersion that mends it. Connections that
stick for a while to one version (a gateway that balances connections) are a matter of `dispersion`: about as many as a connection
carries in a look.
"""

from dataclasses import dataclass, replace
from math import log
from typing import Literal

import numpy as np

from .evariable import Floats
from .explanation import chance, count, percent
from .proportions import LEAST_SAMPLES, checked_start
from .stakes import Stakes

_PARTS = np.linspace(0.0, 1.0, 12, endpoint=False)
_NONE = 1e-6
"""A bet on no answer at all would be lost for good by a single one."""


@dataclass(frozen=True, slots=True)
class ThroughputFinding:
    """What was found, with the figures behind it.

    Attributes:
        verdict: `NoData` while fewer answers than `least_samples` were due.
        part: answers of those that were due, 1 where it is as good as the stable version; None where none were due.
        answers: the candidate's.
        due: the candidate's, if it answered as the stable version does.
        p: an upper bound, valid at any look, of the chance of so much evidence where at least `least` are answered.
        evidence: its log, the `stake` of a process that goes on.
    """

    verdict: Literal["Pass", "Fail", "NoData"]
    part: float | None
    answers: float
    due: float
    least: float
    p: float
    evidence: float

    def explain(self) -> str:
        """Put it into words."""
        told = f"{count(self.answers)} answers of {count(self.due)} that were due by weight"
        if self.verdict == "NoData":
            return f"{told}: too few to judge"
        less = f", less than {percent(self.least)}" if self.verdict == "Fail" else ""
        return f"{told}{less} ({chance(self.p)})"


@dataclass(frozen=True, slots=True)
class Throughput:
    """What all looks so far say; see `start`. Arrays of answers are allowed, as in `Proportions`."""

    least: float
    alpha: float
    dispersion: float
    least_samples: int
    stakes: Stakes
    answers: float | Floats = 0.0
    due: float | Floats = 0.0

    @staticmethod
    def start(
        least: float,
        alpha: float,
        dispersion: float = 1.0,
        stake: float = 0.0,
        *,
        least_samples: int = LEAST_SAMPLES,
        shape: tuple[int, ...] = (),
    ) -> "Throughput":
        """Begin a test that refuses a candidate that answers at least the part `least` with a chance of at most `alpha`.

        Raises:
            ValueError: `least` or `alpha` outside of 0..1, a dispersion below 1, or a stake that is no number.
        """
        if not 0 < least <= 1:
            raise ValueError(f"least {least:g} must be greater than 0 and at most 1")
        checked_start(alpha, dispersion, (stake,))
        return Throughput(least, alpha, dispersion, least_samples, Stakes.start(len(_PARTS), 0, stake, shape))

    def after(self, answers: float | Floats, stable_answers: float | Floats, weight: int) -> "Throughput":
        """The same after one more look at that weight (percent) of the candidate, in which both have answered so many requests.

        A look in which the weight was changed is to be left out.

        Raises:
            ValueError: answers that are negative or not finite, or a weight outside of 0..100.
        """
        both = np.asarray(answers, dtype=float) + stable_answers
        if not (np.all(np.minimum(answers, stable_answers) >= 0) and np.all(both < np.inf)):
            raise ValueError(f"{answers} and {stable_answers} answers: must be finite and not negative")
        if not 0 <= weight <= 100:
            raise ValueError(f"weight {weight} must be 0 to 100")
        if weight in (0, 100):  # nothing is divided
            return self
        share = weight / 100
        bet, bound = _share(np.maximum(self.least * _PARTS, _NONE), share), _share(np.asarray(self.least), share)
        mine, theirs = (np.asarray(part, dtype=float)[..., None] for part in (answers, stable_answers))
        found = mine * np.log(bet / bound) + theirs * np.log((1 - bet) / (1 - bound))
        return replace(
            self,
            stakes=self.stakes.after(found / self.dispersion),
            answers=self.answers + np.asarray(answers, dtype=float),
            due=self.due + stable_answers * np.asarray(share / (1 - share)),
        )

    @property
    def finding(self) -> ThroughputFinding:
        """What all looks so far say."""
        evidence, answers, due = float(self.stakes.log), float(self.answers), float(self.due)
        failed = evidence >= -log(self.alpha)
        return ThroughputFinding(
            verdict="Fail" if failed else "Pass" if due >= self.least_samples else "NoData",
            part=answers / due if due else None,
            answers=answers,
            due=due,
            least=self.least,
            p=float(np.exp(min(0.0, -evidence))),
            evidence=evidence,
        )


def _share(part: Floats, weight: float) -> Floats:
    return part * weight / (part * weight + 1 - weight)
