"""Live traffic judged by what pods have counted; pods are played by what they would answer."""

from dataclasses import dataclass, field
from typing import Any, cast

from luntra_operator.api.spec import ModelDeploymentSpec
from luntra_operator.api.status import ModelDeploymentStatus, StepStatus, Verdict, VersionStatus
from luntra_operator.controller.live import LiveJudge, reading
from luntra_operator.controller.sampling import Trial
from luntra_operator.pods.client import PodAddress, Pods
from luntra_operator.pods.errors import UnreachableError
from luntra_operator.pods.state import ModelStats

STABLE = VersionStatus(revision="r1", version="v1", digest="sha256:1", workload="digits-w1")
CANDIDATE = VersionStatus(revision="r2", version="v2", digest="sha256:2", workload="digits-w2")
POD, OTHER = PodAddress("digits-w2-a", "uid-2", "10.0.0.2"), PodAddress("digits-w1-a", "uid-1", "10.0.0.1")
ERRORS = {"name": "errors", "errorRate": {}, "maxIncrease": 0.01, "onNoData": {"action": "Fail", "after": "2m"}}


def stats(revision: str, codes: dict[int, int], **more: Any) -> ModelStats:
    total = sum(codes.values())
    version = {
        "revision": revision,
        "since": 1000.0,
        "inFlight": more.pop("in_flight", 0),
        "codes": codes,
        "latency": {"count": total, "buckets": [[0.1, total], [None, total]]},
    }
    return ModelStats.model_validate(
        {"instance": "a", "at": 2000.0, "draining": False, "versions": [version], "feedback": {}} | more
    )


@dataclass
class Counting:
    """Pods by UID: what they answer, or that they do not."""

    answers: dict[str, ModelStats] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)

    async def stats(self, pod: PodAddress, model: str) -> ModelStats:
        self.asked.append((pod.uid, model))
        if pod.uid not in self.answers:
            raise UnreachableError(f"GET of pod {pod.name}: connection refused")
        return self.answers[pod.uid]


def trial(weight: int = 25, **status: Any) -> Trial:
    spec = {
        "model": {"name": "gas-price", "version": "v2", "uri": "file:///m", "digest": "sha256:" + "a" * 64},
        "rollout": {"analysis": {"interval": "1s", "metrics": [ERRORS]}},
    }
    known = {
        "attempt": 2,
        "stable": STABLE,
        "candidate": CANDIDATE,
        "step": StepStatus(index=0, weight=weight),
    } | status
    return Trial(
        "uid",
        "team-a",
        "digits",
        ModelDeploymentSpec.model_validate(spec),
        ModelDeploymentStatus(**known),
        {"digits-w1": (OTHER,), "digits-w2": (POD,)},
    )


async def judge_after(pods: Counting, *looks: tuple[dict[int, int], dict[int, int]]) -> LiveJudge:
    """A judge that has seen these codes, the candidate's and stable's, look by look."""
    now = trial()
    assert now.spec.analysis is not None
    judge = LiveJudge(cast("Pods", pods), now, now.spec.analysis)
    judge.see(trial())
    for mine, theirs in looks:
        pods.answers = {"uid-2": stats("r2", mine), "uid-1": stats("r1", theirs)}
        await judge.look()
    return judge


def verdict(judge: LiveJudge) -> Verdict:
    [judgement] = judge.judgements
    return judgement.verdict


async def test_every_pod_of_both_versions_is_asked_once_a_look_for_the_model() -> None:
    pods = Counting()
    judge = await judge_after(pods, ({200: 5}, {200: 5}))
    assert sorted(pods.asked) == [("uid-1", "gas-price"), ("uid-2", "gas-price")]
    assert judge.interval == 1.0


async def test_nothing_is_said_before_the_first_look() -> None:
    judge = await judge_after(Counting())
    [judgement] = judge.judgements
    assert (judgement.verdict, judgement.message) == ("Error", "no look was taken yet")


async def test_server_errors_and_shed_requests_count_as_failed_and_a_clients_faults_do_not() -> None:
    """Breaks if a version that sheds its load looks clean, or if clients can have a version taken back."""
    counted = reading(stats("r2", {200: 70, 400: 9, 404: 1, 429: 5, 499: 50, 500: 3, 504: 2}), "r2").traffic
    assert (counted.total, counted.failed, counted.answered) == (90, 10, 70)


async def test_a_pod_that_has_not_heard_of_the_revision_has_counted_nothing() -> None:
    assert reading(stats("another", {200: 70}), "r2").traffic.total == 0


async def test_a_bad_candidate_is_refused_in_the_look_that_shows_it() -> None:
    judge = await judge_after(Counting(), ({200: 500}, {200: 900}), ({200: 540, 500: 40}, {200: 1100}))
    [judgement] = judge.judgements
    assert judgement.verdict == "Fail"
    assert judgement.message.startswith("error rate 50 % of 80 vs 0 % of 200 on stable")
    assert (judgement.patience, judgement.otherwise) == (120.0, "Fail")
    assert judgement.figures.value == 0.5


async def test_a_source_that_is_down_is_an_error_and_comes_back() -> None:
    """Breaks if a candidate goes on, or is taken back, while nobody knows anything."""
    pods = Counting()
    judge = await judge_after(pods, ({200: 0}, {200: 0}), ({200: 100}, {200: 100}))
    assert verdict(judge) == "Pass"
    known, pods.answers = pods.answers, {}
    await judge.look()
    [judgement] = judge.judgements
    assert judgement.verdict == "Error"
    assert "no pod of v2 tells what it has counted: GET of pod digits-w2-a: connection refused" in judgement.message
    pods.answers = known
    await judge.look()
    assert verdict(judge) == "Pass"


async def test_what_was_found_stays_found_while_nobody_answers() -> None:
    pods = Counting()
    judge = await judge_after(pods, ({200: 0}, {200: 0}), ({500: 100}, {200: 100}))
    pods.answers = {}
    await judge.look()
    assert verdict(judge) == "Fail"


async def test_a_crash_is_no_clean_slate() -> None:
    """Breaks if a version that dies of each request it gets has no failed one."""
    pods = Counting()
    judge = await judge_after(pods, ({}, {200: 100}))
    for crash in range(8):
        pods.answers = {
            "uid-2": stats("r2", {}, instance=f"after {crash}", in_flight=1),
            "uid-1": stats("r1", {200: 200 + 100 * crash}),
        }
        await judge.look()
    assert verdict(judge) == "Fail"


async def test_a_new_step_is_silent_at_once() -> None:
    """Breaks if a step without a hold passes by what was seen at the one before."""
    judge = await judge_after(Counting(), ({200: 0}, {200: 0}), ({200: 100}, {200: 100}))
    judge.see(trial(60))
    assert verdict(judge) == "NoData"


async def test_in_the_soak_only_the_new_version_is_asked() -> None:
    pods = Counting()
    judge = await judge_after(pods, ({200: 0}, {200: 0}), ({200: 300}, {200: 300}))
    judge.see(trial(stable=CANDIDATE, candidate=None, previous=STABLE, step=None))
    pods.asked.clear()
    pods.answers = {"uid-2": stats("r2", {200: 300, 500: 80})}
    await judge.look()
    assert pods.asked == [("uid-2", "gas-price")]
    assert verdict(judge) == "Fail"


async def test_at_100_percent_the_candidate_needs_its_samples_and_the_stable_version_none() -> None:
    """Breaks if a rollout waits at 100 % for requests to a version that gets none any more, or hears of its silence."""
    pods = Counting()
    judge = await judge_after(pods, ({200: 0}, {200: 0}), ({200: 100}, {200: 300}))
    judge.see(trial(100))
    pods.answers = {"uid-2": stats("r2", {200: 110})}
    await judge.look()
    [judgement] = judge.judgements
    assert judgement.verdict == "NoData"
    assert judgement.message.startswith("10 requests at this step, minSamples is 30; ")
    pods.answers = {"uid-2": stats("r2", {200: 130})}
    await judge.look()
    assert verdict(judge) == "Pass"
    pods.answers = {"uid-2": stats("r2", {200: 140, 500: 60})}
    await judge.look()
    assert verdict(judge) == "Fail"


async def test_an_operator_restarted_at_100_percent_does_not_wait_for_a_comparison() -> None:
    now = trial(100)
    assert now.spec.analysis is not None
    pods = Counting({"uid-2": stats("r2", {200: 100})})
    judge = LiveJudge(cast("Pods", pods), now, now.spec.analysis)
    judge.see(now)
    await judge.look()
    pods.answers = {"uid-2": stats("r2", {200: 140})}
    await judge.look()
    assert verdict(judge) == "Pass"
