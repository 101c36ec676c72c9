"""Judges one metric by a container of the user's: a Job for each step, whose verdict holds until the next step begins.

The Job is asked for once a step, under a name that says which, so an operator that is restarted finds it again. Its pods have no
label of the workload: they get none of its requests.
"""

from typing import Any

from luntra_operator.api.analysis import Metric
from luntra_operator.api.quantities import seconds
from luntra_operator.kube import kinds
from luntra_operator.kube.client import Kube
from luntra_operator.kube.errors import ConflictError, KubeError
from luntra_operator.rollout.observed import Figures, Judgement
from luntra_operator.sources.job import job, read
from luntra_operator.workloads.naming import metadata

from .check_runs import NO_POD
from .last_words import one_line
from .sampling import Trial
from .sourced import target_of

Object = dict[str, Any]


class MeasuringJudge:
    """See `sampling.Judge`; `number` is the metric's place among those that are declared."""

    def __init__(self, kube: Kube, metric: Metric, number: int, interval: float, trial: Trial) -> None:
        """Nothing is known yet."""
        if metric.job is None:
            raise ValueError(f"{metric.name} is no job")
        self._kube, self._metric, self._query, self._number = kube, metric, metric.job, number
        self.interval, self._trial = interval, trial
        self._step: str | None = None
        self._judgement = self._say("NoData", "it was not asked yet")

    @property
    def judgements(self) -> tuple[Judgement, ...]:
        """Of the present step."""
        return (self._judgement,)

    def see(self, trial: Trial) -> None:
        """A step begins with a Job of its own; the soak, in which nothing is divided, has none."""
        if trial.step != self._step and trial.step:
            self._judgement = self._say("NoData", "it has not been asked at this step yet")
        self._step, self._trial = trial.step, trial

    async def look(self) -> None:
        """See how far the step's Job is, and ask for it where there is none."""
        weight = self._trial.status.step.weight if self._trial.status.step else None
        # What a container has said of a step stays said; a Job that was looked at by somebody and deleted is not run again.
        if weight is None or self._judgement.verdict in ("Pass", "Fail"):
            return
        target = target_of(self._trial, self._metric.span)
        name = f"{target.workload}-m{self._number}-{weight}"
        try:
            self._judgement = await self._run(name)
        except KubeError as error:
            self._judgement = self._say("Error", f"Job {name}: {error}")

    async def _run(self, name: str) -> Judgement:
        trial = self._trial
        found = await self._kube.get(kinds.JOB, trial.namespace, name)
        if found is None:
            owner = {"metadata": {"name": trial.name, "namespace": trial.namespace, "uid": trial.uid}}
            body = job(self._query, target_of(trial, self._metric.span), metadata(owner, name))
            try:
                await self._kube.create(kinds.JOB, body)
            except ConflictError:
                return self._judgement  # somebody was quicker; it is looked at next time
            return self._say("NoData", f"Job {name} runs")
        if not any(ref.get("uid") == trial.uid for ref in found["metadata"].get("ownerReferences", ())):
            return self._say("Error", f"a Job {name} exists that this object does not own; delete or rename it")
        return await self._read(name, found)

    async def _read(self, name: str, found: Object) -> Judgement:
        pods = await self._kube.list(kinds.POD, self._trial.namespace, f"batch.kubernetes.io/job-name={name}")
        pods.sort(key=lambda pod: str(pod["metadata"].get("creationTimestamp")))
        ended = [verdict for pod in pods if (verdict := read(pod)) is not None]
        if ended:
            last = ended[-1]
            told = one_line(last.message) or last.reason
            return self._say(last.verdict, told, last.value)
        for condition in found.get("status", {}).get("conditions") or ():
            if condition["type"] == "Failed" and condition["status"] == "True":
                return self._say("Error", f"Job {name} failed: {condition.get('message') or condition.get('reason')}")
        return self._say("NoData", f"Job {name} runs" if pods else f"Job {name}: {NO_POD.format(name)}")

    def _say(self, verdict: Any, message: str, value: float | None = None) -> Judgement:
        metric = self._metric
        policy = metric.on_no_data
        return Judgement(
            metric.name,
            verdict,
            message,
            seconds(policy.after),
            policy.action,
            metric.dry_run,
            Figures(value),
        )
