"""From the counters of pods, which only grow, to what has come since the last look.

A process that ended without a farewell (another instance answers for the same pod, and the last one was not draining) took its
requests in flight with it: they count as failed, so a version that crashes never looks clean. A pod that is gone from the
list does not: pods that are moved or scaled away finish what they have. What pods had counted before the first look,
the checks' requests for instance, is nobody's.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Traffic:
    """Requests of a version: `total` of them had an answer that counts, `failed` of these were failed by the server.

    `answered` had a result. `within` has, by upper bound in seconds, how many of the `timed` ones took no longer.
    """

    total: int = 0
    failed: int = 0
    answered: int = 0
    timed: int = 0
    within: Mapping[float, int] = field(default_factory=dict)

    def __add__(self, other: "Traffic") -> "Traffic":
        return _combined(self, other, 1)

    def __sub__(self, other: "Traffic") -> "Traffic":
        return _combined(self, other, -1)


@dataclass(frozen=True, slots=True)
class Feedback:
    """What people or markets said of `told` predictions: each is worth 0 to 1, right ones 1 and wrong ones 0, all `worth` together."""

    told: int = 0
    worth: float = 0.0

    def __add__(self, other: "Feedback") -> "Feedback":
        return Feedback(self.told + other.told, self.worth + other.worth)


@dataclass(frozen=True, slots=True)
class Reading:
    """What one pod has counted so far.

    `instance` names the process, `age` is in seconds since the version's first request in it, None before that.
    `feedback` is by revision: any pod may have been told of any version's predictions.
    """

    instance: str
    draining: bool
    traffic: Traffic
    in_flight: int = 0
    age: float | None = None
    feedback: Mapping[str, Feedback] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Gain:
    """What has come since the last look: from pods whose caches are still cold, and from all others; `feedback` by revision."""

    cold: Traffic = Traffic()
    warm: Traffic = Traffic()
    feedback: Mapping[str, Feedback] = field(default_factory=dict)

    def __add__(self, other: "Gain") -> "Gain":
        revisions = {*self.feedback, *other.feedback}
        none = Feedback()
        merged = {one: self.feedback.get(one, none) + other.feedback.get(one, none) for one in revisions}
        return Gain(self.cold + other.cold, self.warm + other.warm, merged)

    @property
    def all(self) -> Traffic:
        """Cold and warm."""
        return self.cold + self.warm


@dataclass(frozen=True, slots=True)
class Tally:
    """The last reading of each pod of one version, by UID; `begun` are the pods of the first look, None before it."""

    begun: frozenset[str] | None = None
    last: Mapping[str, Reading] = field(default_factory=dict)

    def after(self, pods: Iterable[str], readings: Mapping[str, Reading], warm_up: float = 0.0) -> tuple["Tally", Gain]:
        """The tally after one more look, and what it gained; `pods` are all there are, `readings` those that answered.

        A pod counts as cold until `warm_up` seconds after its first request.
        """
        listed = frozenset(pods)
        begun = listed if self.begun is None else self.begun
        gain = Gain()
        for uid, reading in readings.items():
            before = self.last.get(uid)
            if before is None and uid in begun:
                continue
            gain += _gained(before, reading, warm_up)
        kept = {uid: reading for uid, reading in self.last.items() if uid in listed}
        return Tally(begun, kept | dict(readings)), gain


def _gained(before: Reading | None, now: Reading, warm_up: float) -> Gain:
    traffic, feedback = now.traffic, dict(now.feedback)
    if before is not None and before.instance == now.instance:
        traffic = now.traffic - before.traffic
        feedback = {one: _since(before.feedback.get(one), found) for one, found in now.feedback.items()}
    elif before is not None and not before.draining:
        traffic += Traffic(total=before.in_flight, failed=before.in_flight)
    cold = now.age is None or now.age < warm_up
    return Gain(cold=traffic, feedback=feedback) if cold else Gain(warm=traffic, feedback=feedback)


def _since(before: Feedback | None, now: Feedback) -> Feedback:
    """A server forgets the feedback of the version that had none for longest, and begins at 0 when some comes again."""
    if before is None or now.told < before.told:
        return now
    return Feedback(now.told - before.told, now.worth - before.worth)


def _combined(one: Traffic, other: Traffic, sign: int) -> Traffic:
    within = {
        bound: one.within.get(bound, 0) + sign * other.within.get(bound, 0) for bound in {*one.within, *other.within}
    }
    return Traffic(
        one.total + sign * other.total,
        one.failed + sign * other.failed,
        one.answered + sign * other.answered,
        one.timed + sign * other.timed,
        within,
    )
