"""Part what pods have counted into what they counted while they warmed up and what came later.

The first requests of a pod meet cold caches and code that is not compiled yet: compared with pods that have run for days, any new
version loses. So requests of a pod's first seconds, and its first ones, are `cold`: a bound holds for them too, as users wait for
them, but no comparison (`Proportions.after`). Whether a request is cold does not depend on its answer, so all stays valid.

Pods report totals since they began. Of a pod that is seen for the first time nothing is counted, as nobody knows what of it another
process has judged before; a total that falls means that the pod began anew, and warms up again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from .evidence import Counts


@dataclass(frozen=True, slots=True)
class _Pod:
    since: float
    counts: Counts


@dataclass(frozen=True, slots=True)
class WarmUp:
    """How long a pod is cold, and what each had counted at the last look.

    Attributes:
        seconds: since it was first seen; times are in seconds of one clock that does not jump.
        requests: since it began. A look is cold as a whole if at its beginning either was not over.
    """

    seconds: float = 0.0
    requests: float = 0.0
    pods: Mapping[str, _Pod] = field(default_factory=lambda: MappingProxyType({}))

    def after(self, now: float, totals: Mapping[str, Counts]) -> tuple["WarmUp", Counts, Counts]:
        """Give what comes next, and the counts since the last look: warm ones and cold ones.

        `totals` has one entry for each pod that answered; one that did not is made up for when it does.
        """
        warm = cold = Counts()
        pods = dict(self.pods)
        for name, total in totals.items():
            before = pods.get(name, _Pod(now, total))
            if total.total < before.counts.total or total.bad < before.counts.bad:
                before = _Pod(now, Counts())
            new = Counts(total.bad - before.counts.bad, total.total - before.counts.total)
            if self._is_cold(now, before):
                cold += new
            else:
                warm += new
            pods[name] = _Pod(before.since, total)
        return replace(self, pods=MappingProxyType(pods)), warm, cold

    def _is_cold(self, now: float, before: _Pod) -> bool:
        return bool(now - before.since < self.seconds or before.counts.total < self.requests)
