"""Judges live traffic by what the pods themselves have counted: no other system is needed for it.

Every pod of both versions is asked once a look, all of them at the same time. A pod that does not answer is not counted now; nothing
is lost by that, as counters only grow. Only where no pod of a version answers is the source down.
"""

import asyncio
from collections.abc import Iterable

from luntra_operator.analysis.counters import Feedback, Gain, Reading, Tally, Traffic
from luntra_operator.analysis.looks import Look, MetricTest
from luntra_operator.analysis.verdicts import begin
from luntra_operator.api.analysis import Analysis
from luntra_operator.api.quantities import seconds
from luntra_operator.api.status import VersionStatus
from luntra_operator.pods.client import PodAddress, Pods
from luntra_operator.pods.errors import PodError
from luntra_operator.pods.state import ModelStats, VersionStats
from luntra_operator.rollout.observed import Figures, Judgement

from .sampling import Trial

CANCELLED = 499
"""The status that the server counts a request by that its client gave up: neither good nor bad."""

OVERLOADED = 429
"""The one by which a version sheds what it cannot bear; other 4xx are answers to a client's fault."""


class LiveJudge:
    """Judges one trial; see `sampling.Judge`."""

    def __init__(self, pods: Pods, trial: Trial, analysis: Analysis) -> None:
        """Ask through `pods`; evidence that the status has goes on growing."""
        self._pods, self._trial, self._analysis = pods, trial, analysis
        self.interval = seconds(analysis.interval)
        self._tests = begin(analysis, {entry.name: entry for entry in trial.status.metrics})
        self._tallies: dict[str, Tally] = {}
        self._weight: int | None = None
        self._silent = "no look was taken yet"

    @property
    def judgements(self) -> tuple[Judgement, ...]:
        """As of the last look."""
        return tuple(_judgement(test, self._silent) for test in self._tests)

    def see(self, trial: Trial) -> None:
        """Pods come and go, and steps follow one another: what was seen at the last one says nothing of this one."""
        self._trial = trial
        self._tests = tuple(test.at(trial.step) for test in self._tests)

    async def look(self) -> None:
        """Read the counters of all pods once."""
        trial = self._trial
        subject, beside = trial.subject, trial.beside
        if subject is None:
            raise LookupError(f"{trial.namespace}/{trial.name} has no version that could be judged")
        mine, theirs = await asyncio.gather(self._gain(subject), self._gain(beside))
        self._silent = "; ".join(problem for _, problem in (mine, theirs) if problem)
        weight, self._weight = self._weight, _weight(trial)
        look = Look(
            mine[0],
            theirs[0],
            subject.revision,
            beside.revision if beside else None,
            weight if weight == self._weight else None,
        )
        tests = self._tests if beside else tuple(test.freeze() for test in self._tests)
        self._tests = tuple(test.after(look) for test in tests)

    async def _gain(self, version: VersionStatus | None) -> tuple[Gain, str]:
        """What has come for a version since the last look, and why that is not known where no pod answers."""
        if version is None:
            return Gain(), ""
        pods, trial = self._trial.pods.get(version.workload, ()), self._trial
        model = trial.spec.model.name or trial.name
        answers = await asyncio.gather(*(self._ask(pod, model) for pod in pods))
        told = {pod.uid: answer for pod, answer in zip(pods, answers, strict=True) if isinstance(answer, ModelStats)}
        readings = {uid: reading(answer, version.revision) for uid, answer in told.items()}
        tally = self._tallies.get(version.workload, Tally())
        tally, gain = tally.after((pod.uid for pod in pods), readings, seconds(self._analysis.warm_up))
        self._tallies[version.workload] = tally
        return gain, "" if readings else _why(version.version, answers)

    async def _ask(self, pod: PodAddress, model: str) -> ModelStats | PodError:
        try:
            return await self._pods.stats(pod, model)
        except PodError as error:
            return error


def reading(told: ModelStats, revision: str) -> Reading:
    """What a pod has counted for a revision; all zero where it has never heard of it."""
    feedback = {one: Feedback(found.count, found.reward_sum) for one, found in told.feedback.items()}
    found = next((version for version in told.versions if version.revision == revision), None)
    if found is None:
        return Reading(told.instance, told.draining, Traffic(), feedback=feedback)
    age = None if found.since is None else told.at - found.since
    return Reading(told.instance, told.draining, _traffic(found), found.in_flight, age, feedback)


def _traffic(told: VersionStats) -> Traffic:
    codes = {code: count for code, count in told.codes.items() if code != CANCELLED}
    return Traffic(
        total=sum(codes.values()),
        failed=sum(count for code, count in codes.items() if code >= 500 or code == OVERLOADED),
        answered=codes.get(200, 0),
        timed=told.latency.count,
        within={bound: count for bound, count in told.latency.buckets if bound is not None},
    )


def _judgement(test: MetricTest, silent: str) -> Judgement:
    metric, said = test.metric, test.said
    # What was found stays found while nobody answers; nothing good is said of what is not seen.
    unseen = bool(silent) and said.verdict != "Fail"
    return Judgement(
        metric.name,
        "Error" if unseen else said.verdict,
        silent if unseen else said.message,
        seconds(metric.on_no_data.after),
        metric.on_no_data.action,
        metric.dry_run,
        Figures(
            said.value,
            said.samples,
            said.stable_value,
            said.stable_samples,
            said.evidence,
            said.interval,
            said.stable_interval,
            said.better,
        ),
    )


def _weight(trial: Trial) -> int | None:
    """The candidate's percent of the requests, as far as the gateway is known to follow."""
    traffic = trial.status.traffic
    return traffic.observed if traffic is not None and traffic.observed == traffic.desired else None


def _why(version: str, answers: Iterable[ModelStats | PodError]) -> str:
    errors = [str(answer) for answer in answers if isinstance(answer, PodError)]
    return f"no pod of {version} tells what it has counted: {errors[0]}" if errors else f"{version} has no pod"
