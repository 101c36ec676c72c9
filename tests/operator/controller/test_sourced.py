"""Metrics whose values come from elsewhere: bounds, comparisons by windows, silence, errors, steps and the soak."""

from typing import TYPE_CHECKING, Any

import pytest

from luntra_operator.api.analysis import Metric
from luntra_operator.api.spec import ModelDeploymentSpec
from luntra_operator.api.status import MetricStatus, ModelDeploymentStatus, StepStatus, VersionStatus
from luntra_operator.controller.sampling import Trial
from luntra_operator.controller.sourced import SourcedJudge
from luntra_operator.rollout.observed import Judgement
from luntra_operator.sources.errors import SourceError, Unavailable
from luntra_operator.sources.target import Target

if TYPE_CHECKING:
    from collections.abc import Callable

STABLE = VersionStatus(revision="r1", version="v1", digest="sha256:1", workload="digits-w1")
CANDIDATE = VersionStatus(revision="r2", version="v2", digest="sha256:2", workload="digits-w2")
BOUND = {"name": "queue", "prometheus": {"query": "q"}, "max": 10}
COMPARED = {"name": "queue", "prometheus": {"query": "q"}, "maxRatio": 1.5, "window": "10s"}

Value = float | SourceError | None


def trial(weight: int = 25, **status: Any) -> Trial:
    spec = {"model": {"version": "v2", "uri": "file:///m", "digest": "sha256:" + "a" * 64}}
    known = {"stable": STABLE, "candidate": CANDIDATE, "step": StepStatus(index=0, weight=weight)} | status
    return Trial("uid", "team-a", "digits", ModelDeploymentSpec.model_validate(spec), ModelDeploymentStatus(**known))


SOAK = trial(candidate=None, stable=CANDIDATE, previous=STABLE, step=None)


class Played:
    """A judge of one metric, and a source that says what it is told to."""

    def __init__(self, metric: dict[str, Any], now: Trial | None = None, alpha: float = 0.01) -> None:
        self.asked: list[Target] = []
        self.says: Callable[[Target], Value] = lambda _: 1.0
        self.judge = SourcedJudge(Metric.model_validate(metric), self._ask, alpha, 1.0, now or trial())
        self.judge.see(now or trial())

    async def _ask(self, target: Target) -> float | None:
        self.asked.append(target)
        said = self.says(target)
        if isinstance(said, SourceError):
            raise said
        return said

    @property
    def judgement(self) -> Judgement:
        [found] = self.judge.judgements
        return found

    async def looks(self, times: int = 1) -> Judgement:
        for _ in range(times):
            await self.judge.look()
        return self.judgement


async def test_nothing_is_good_before_the_first_value() -> None:
    assert Played(BOUND).judgement.verdict == "NoData"


@pytest.mark.parametrize(("value", "verdict"), [(3.0, "Pass"), (10.0, "Pass"), (11.0, "Fail"), (None, "NoData")])
async def test_a_bound_is_for_the_last_value(value: float | None, verdict: str) -> None:
    played = Played(BOUND)
    played.says = lambda _: value
    assert (await played.looks()).verdict == verdict


async def test_so_many_values_in_a_row_as_declared_must_be_beyond_a_bound() -> None:
    played = Played(BOUND | {"consecutive": 3})
    values = iter((11.0, 11.0, 3.0, 11.0, 11.0, 11.0))
    played.says = lambda _: next(values)
    assert [(await played.looks()).verdict for _ in range(6)] == ["Pass"] * 5 + ["Fail"]


async def test_r6_a_source_that_is_down_is_an_error_and_comes_back() -> None:
    """Breaks if an outage of the source is held against the candidate, or hidden."""
    played = Played(BOUND)
    assert (await played.looks()).verdict == "Pass"
    played.says = lambda _: Unavailable("prometheus:9090 cannot be reached: connection refused")
    down = await played.looks()
    assert (down.verdict, down.message) == ("Error", "prometheus:9090 cannot be reached: connection refused")
    played.says = lambda _: 2.0
    assert (await played.looks()).verdict == "Pass"


async def test_r5_each_step_waits_for_a_value_of_its_own() -> None:
    played = Played(BOUND)
    await played.looks()
    played.judge.see(trial(60))
    assert played.judgement.verdict == "NoData"
    assert (await played.looks()).verdict == "Pass"


async def test_the_query_is_about_the_candidate_and_knows_the_stable_version() -> None:
    played = Played(BOUND | {"window": "30s"})
    await played.looks()
    [target] = played.asked
    assert (target.revision, target.workload, target.window) == ("r2", "digits-w2", 30.0)
    assert (target.stable_revision, target.stable_workload) == ("r1", "digits-w1")


async def test_versions_are_compared_once_a_window_by_the_same_query() -> None:
    """Breaks if looks within a window count as windows: each would be taken for new evidence."""
    played = Played(COMPARED)
    assert (played.judge.interval, Played(BOUND).judge.interval) == (10.0, 1.0)
    await played.looks(3)
    assert sorted(target.revision for target in played.asked) == ["r1"] * 3 + ["r2"] * 3


async def test_a_candidate_that_tends_to_be_worse_than_allowed_is_refused() -> None:
    played = Played(COMPARED)
    noise = iter(range(1000))
    played.says = lambda target: (5.0 if target.revision == "r2" else 2.0) + 0.1 * (next(noise) * 7 % 11)
    found = await played.looks(30)
    assert found.verdict == "Fail"
    assert "on stable (medians of 30 windows" in found.message


async def test_a_candidate_that_is_alike_passes_with_enough_windows() -> None:
    played = Played(COMPARED)
    noise = iter(range(1000))
    played.says = lambda _: 2.0 + 0.1 * (next(noise) * 7 % 11)
    assert (await played.looks(4)).verdict == "NoData"
    assert (await played.looks(20)).verdict == "Pass"


async def test_in_the_soak_bounds_are_left_and_comparisons_rest() -> None:
    compared = Played(COMPARED, SOAK)
    assert (await compared.looks(3)).verdict == "Pass"
    assert compared.asked == []
    bounded = Played(COMPARED | {"max": 10}, SOAK)
    bounded.says = lambda _: 11.0
    assert (await bounded.looks()).verdict == "Fail"
    assert [target.revision for target in bounded.asked] == ["r2"]


async def test_a_restarted_operator_spends_no_alpha_again() -> None:
    played = Played(COMPARED)
    await played.looks(12)
    spent = list(played.judgement.figures.evidence)
    known = MetricStatus.model_validate(
        {"name": "queue", "verdict": "Pass", "message": "", "since": "2026-11-21T10:00:00Z", "evidence": spent}
    )
    after = Played(COMPARED, trial(metrics=[known]))
    await after.looks()
    assert after.judgement.figures.evidence == (13.0,)


@pytest.mark.parametrize("looks", [0, 6])
@pytest.mark.parametrize("now", [trial(100), SOAK], ids=["at 100 %", "in the soak"])
async def test_a_comparison_is_not_waited_for_where_the_stable_version_gets_no_requests(looks: int, now: Trial) -> None:
    """Breaks if a rollout stays at 100 % for a value that cannot come, or is taken back in the soak for its lack."""
    played = Played(COMPARED)
    await played.looks(looks)
    played.judge.see(now)
    asked = len(played.asked)
    assert (await played.looks()).verdict == "Pass"
    assert len(played.asked) == asked
