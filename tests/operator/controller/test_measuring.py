"""A metric that a container of the user's judges: one Job a step, found again after a restart, never somebody else's."""

import json
from typing import TYPE_CHECKING, Any, cast

import pytest

from luntra_operator.api.analysis import Metric
from luntra_operator.controller.measuring import MeasuringJudge
from luntra_operator.kube import kinds
from luntra_operator.kube.errors import UnavailableError
from luntra_operator.rollout.observed import Judgement
from tests.operator.controller.fake_kube import FakeKube
from tests.operator.controller.test_sourced import SOAK, trial

if TYPE_CHECKING:
    from luntra_operator.kube.client import Kube

METRIC = {"name": "pnl", "job": {"image": "team/pnl:3", "args": ["--quick"]}}
JOB = "digits-w2-m1-25"


class World:
    """A judge, the API server that it runs Jobs through, and what becomes of their pods."""

    def __init__(self) -> None:
        self.kube = FakeKube()
        self.judge = self.fresh()

    def fresh(self) -> MeasuringJudge:
        """One that knows nothing, as after a restart."""
        judge = MeasuringJudge(cast("Kube", self.kube), Metric.model_validate(METRIC), 1, 1.0, trial())
        judge.see(trial())
        return judge

    @property
    def said(self) -> Judgement:
        [found] = self.judge.judgements
        return found

    async def look(self) -> str:
        await self.judge.look()
        return self.said.verdict

    def ends(self, message: str, code: int = 0, job: str = JOB) -> None:
        """The Job's pod ends, and leaves this."""
        ended = {"exitCode": code, "reason": "Completed" if code == 0 else "Error", "message": message}
        body: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": f"{job}-x", "namespace": "team-a", "labels": {"batch.kubernetes.io/job-name": job}},
            "status": {"containerStatuses": [{"name": "metric", "state": {"terminated": ended}}]},
        }
        self.kube.put(kinds.POD, body)


@pytest.fixture
def world() -> World:
    return World()


async def test_a_job_is_run_once_a_step_and_not_by_the_workload(world: World) -> None:
    """Breaks if its pods get requests, or if each look starts another one."""
    assert await world.look() == "NoData"
    assert await world.look() == "NoData"
    assert [write for write in world.kube.writes if write[0] == "create"] == [("create", "Job", JOB)]
    job = world.kube.peek(kinds.JOB, JOB)
    assert "luntra.io/workload" not in job["metadata"]["labels"] | job["spec"]["template"]["metadata"]["labels"]
    assert job["metadata"]["ownerReferences"][0]["uid"] == "uid"


@pytest.mark.parametrize("verdict", ["Pass", "Fail", "NoData"])
async def test_what_the_container_says_is_the_verdict(world: World, verdict: str) -> None:
    await world.look()
    world.ends(json.dumps({"verdict": verdict, "message": "12 of 40 trades lost", "value": 0.3}))
    assert await world.look() == verdict
    assert (world.said.message, world.said.figures.value) == ("12 of 40 trades lost", 0.3)


async def test_a_container_that_says_nothing_is_an_error_and_no_evidence(world: World) -> None:
    await world.look()
    world.ends("Traceback: no module named pandas", code=1)
    assert await world.look() == "Error"
    assert "exit code 1" in world.said.message


async def test_a_job_that_gets_no_pod_says_what_may_be_in_its_way(world: World) -> None:
    await world.look()
    assert await world.look() == "NoData"
    assert "it has no pod: a ResourceQuota" in world.said.message


async def test_each_step_has_a_job_of_its_own(world: World) -> None:
    await world.look()
    world.ends('{"verdict": "Pass"}')
    assert await world.look() == "Pass"
    world.judge.see(trial(60))
    assert world.said.verdict == "NoData"
    await world.look()
    assert world.kube.peek(kinds.JOB, "digits-w2-m1-60")


async def test_a_verdict_stays_through_the_soak(world: World) -> None:
    await world.look()
    world.ends('{"verdict": "Pass"}')
    await world.look()
    world.judge.see(SOAK)
    assert await world.look() == "Pass"
    assert len([write for write in world.kube.writes if write[0] == "create"]) == 1


async def test_a_restarted_operator_finds_the_job_again(world: World) -> None:
    await world.look()
    world.ends('{"verdict": "Pass"}')
    world.judge = world.fresh()
    assert await world.look() == "Pass"
    assert len([write for write in world.kube.writes if write[0] == "create"]) == 1


async def test_a_job_of_somebody_elses_is_left_alone_and_said(world: World) -> None:
    body = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": JOB, "namespace": "team-a"}}
    world.kube.put(kinds.JOB, body)
    world.ends('{"verdict": "Pass"}')
    assert await world.look() == "Error"
    assert "does not own" in world.said.message


async def test_an_api_server_that_is_away_is_an_error_of_the_source(world: World) -> None:
    world.kube.failures["create", kinds.JOB] = UnavailableError("no answer")
    assert await world.look() == "Error"
    world.kube.failures.clear()
    assert await world.look() == "NoData"
