"""R2, R5, R6 and R13 as tables of turns: what metrics of live traffic do to a rollout, with scripted judgements."""

from dataclasses import replace

import pytest

from luntra_operator.api.spec import ModelDeploymentSpec
from luntra_operator.api.status import Verdict
from luntra_operator.rollout.observed import Figures, Intents, Judgement, Pod
from tests.operator.rollout.conftest import World, spec

V1, V2 = "digits-w1", "digits-w2"
BAD = Judgement("errorRate", "Fail", "4.1 % of 812 vs 0.3 % of 7402 on stable")
SILENT = Judgement("errorRate", "NoData", "0 requests", patience=60)
DOWN = Judgement("latency", "Error", "connection refused", patience=60)


@pytest.mark.parametrize(("weight", "above"), [(10, (30, 60, 100)), (60, (100,))])
def test_r2_bad_metric_takes_the_traffic_in_the_same_turn(world: World, weight: int, above: tuple[int, ...]) -> None:
    """Breaks if a fail verdict waits for the step, the hold or another sample."""
    world.spec = spec("v2")
    world.until_weight(weight)
    world.judgements = (BAD,)
    world.turn()
    assert world.weights[-1] == {V1: 100, V2: 0}
    world.until("RolledBack")
    assert world.status.rejected_reason == "MetricFailed"
    told = f"errorRate: 4.1 % of 812 vs 0.3 % of 7402 on stable → rolled back at {weight} %"
    assert world.status.rejected_message == told
    assert not any(weights.get(V2) in above for weights in world.weights)
    world.run(seconds=600)
    assert world.weights[-1] == {V1: 100}


def test_r2_bad_metric_counts_before_the_gateway_follows_the_weight(world: World) -> None:
    """Breaks if metrics count only once a weight has settled."""
    world.spec = spec("v2")
    world.until_weight(10)
    world.following = False
    for _ in range(60):
        world.run(seconds=1)
        if world.weights[-1] == {V1: 70, V2: 30}:
            break
    world.judgements = (BAD,)
    world.turn()
    assert world.weights[-1] == {V1: 100, V2: 0}


def test_bad_metric_in_the_soak_returns_all_traffic(world: World) -> None:
    world.spec = spec("v2")
    world.until("Soaking")
    world.judgements = (BAD,)
    world.turn()
    assert world.weights[-1] == {V1: 100, V2: 0}
    world.until("RolledBack")
    assert world.status.rejected_reason == "MetricFailed"


def test_r12_bad_metric_while_it_waits_for_approval_takes_the_traffic(world: World) -> None:
    """Breaks if metrics are not looked at while a person is waited for."""
    world.spec = spec("v2", approval="BeforePromotion")
    world.until("AwaitingApproval")
    world.judgements = (BAD,)
    world.turn()
    assert world.weights[-1] == {V1: 100, V2: 0}


@pytest.mark.parametrize(
    ("silent", "reason"), [(SILENT, "errorRate: 0 requests"), (DOWN, "latency: connection refused")]
)
def test_r5_r6_silence_holds_and_then_the_rollout_goes_on(world: World, silent: Judgement, reason: str) -> None:
    """Breaks if silence counts as good or as bad."""
    world.spec = spec("v2")
    world.until_weight(30)
    world.judgements = (silent,)
    world.run(seconds=3600, turns=2000)
    assert world.weights[-1] == {V1: 70, V2: 30}
    assert world.status.phase == "Shifting"
    assert world.status.conditions[0].message == reason
    assert [(one.name, one.verdict) for one in world.status.metrics] == [(silent.metric, silent.verdict)]
    world.judgements = (replace(silent, verdict="Pass", message="fine"),)
    world.until("Soaking")
    assert world.status.history[0].outcome == "Promoted"


@pytest.mark.parametrize(("silent", "reason"), [(SILENT, "NoData"), (DOWN, "MetricSourceUnavailable")])
def test_r5_lasting_silence_is_a_failure_where_that_is_declared(world: World, silent: Judgement, reason: str) -> None:
    """Breaks if the deadline of silence is not kept, or its reason is lost."""
    world.spec = spec("v2")
    world.until_weight(30)
    world.judgements = (replace(silent, otherwise="Fail"),)
    world.run(seconds=50)
    assert world.weights[-1] == {V1: 70, V2: 30}
    world.run(seconds=20)
    world.until("RolledBack")
    assert world.status.rejected_reason == reason
    assert world.status.rejected_message
    assert "given up after 60 s" in world.status.rejected_message


def test_r5_lasting_silence_passes_where_that_is_declared(world: World) -> None:
    """Breaks if silence holds for ever although it is declared to pass."""
    world.spec = spec("v2")
    world.until_weight(30)
    world.judgements = (replace(SILENT, otherwise="Pass"),)
    world.run(seconds=50)
    assert world.weights[-1] == {V1: 70, V2: 30}
    world.until("Soaking")


def test_silence_counts_anew_after_every_word(world: World) -> None:
    world.spec = spec("v2")
    world.until_weight(30)
    fails = replace(SILENT, otherwise="Fail")
    for _ in range(10):
        world.judgements = (fails,)
        world.run(seconds=40)
        world.judgements = (replace(fails, verdict="Error"),)
        world.run(seconds=40)
    assert world.status.phase == "Shifting"


def test_metrics_of_the_last_candidate_do_not_speak_against_the_next_one(world: World) -> None:
    world.spec = spec("v2")
    world.until_weight(10)
    world.judgements = (BAD,)
    world.until("RolledBack")
    world.judgements = ()
    world.spec = spec("v3")
    world.turn()
    assert world.status.metrics == []
    world.until("Soaking")


@pytest.mark.parametrize(("serving", "weights"), [(1, {V1: 100, V2: 0}), (0, {V1: 70, V2: 30})])
def test_r13_candidate_keeps_traffic_only_if_nobody_else_can_answer(
    world: World, serving: int, weights: dict[str, int]
) -> None:
    """Breaks if a degraded stable version is taken for a dead one, or a dead one for degraded."""
    world.spec = spec("v2").model_copy(update={"replicas": 4})
    world.until_weight(30)
    found = world.workloads[V1]
    pods = tuple(Pod(f"{V1}-{i}", f"uid-{V1}-{i}", ready=i < serving) for i in range(4))
    world.workloads[V1] = replace(found, pods=pods, endpoints=serving)
    world.judgements = (BAD,)
    world.turn()
    assert world.weights[-1] == weights
    if not serving:
        told = world.status.conditions[0].message
        assert told.endswith("it keeps its traffic only because no pod of the stable version is ready")


@pytest.mark.parametrize(
    ("serving", "told"),
    [
        (4, "v1 serves"),
        (1, "v1 serves with 1 of 4 pods"),
        (0, "no pod of v1 is ready; digits-w2 keeps 30 % of the traffic until one is"),
    ],
)
def test_r13_status_tells_what_a_rollback_has_left_to_serve(world: World, serving: int, told: str) -> None:
    """Breaks if a rollback onto few pods, or onto none, reads like one onto all of them."""
    world.spec = spec("v2").model_copy(update={"replicas": 4})
    world.until_weight(30)
    pods = tuple(Pod(f"{V1}-{i}", f"uid-{V1}-{i}", ready=i < serving) for i in range(4))
    world.workloads[V1] = replace(world.workloads[V1], pods=pods, endpoints=serving)
    world.intents = Intents(abort="v2")
    world.until("RolledBack")
    conditions = {one.type: one.message for one in world.status.conditions}
    assert conditions["Available"] == told
    assert conditions["Ready"].endswith(f"; {told}")


@pytest.mark.parametrize("verdict", ["Fail", "NoData", "Error"])
def test_a_metric_in_dry_run_is_told_and_decides_nothing(world: World, verdict: Verdict) -> None:
    """Breaks if somebody who tries a metric out has a rollout taken back or held by it."""
    world.spec = spec("v2")
    world.judgements = (Judgement("errorRate", verdict, "4.1 %", 0.0, "Fail", dry_run=True),)
    world.until("Stable")
    assert world.status.stable is not None
    assert world.status.stable.version == "v2"
    assert [(one.verdict, one.dry_run) for one in world.status.metrics] == [(verdict, True)]


def test_figures_are_recorded_beside_the_verdict(world: World) -> None:
    """Breaks if a restarted operator forgets what it had against a version."""
    world.spec = spec("v2")
    world.until_weight(10)
    world.judgements = (Judgement("errorRate", "Pass", "0.1 %", figures=Figures(0.001, 812, 0.002, 7402, (1.5, -0.2))),)
    world.turn()
    [found] = world.status.metrics
    assert (found.value, found.samples, found.stable_value, found.stable_samples) == (0.001, 812, 0.002, 7402)
    assert found.evidence == [1.5, -0.2]


def comparing(version: str) -> ModelDeploymentSpec:
    """A spec with one step, at which two versions are compared for a minute."""
    metrics = [{"name": "errors", "errorRate": {}, "max": 0.1}]
    return spec(version, steps=[{"weight": 50, "compare": "1m"}], analysis={"metrics": metrics})


BETTER = Figures(0.002, 9000, 0.005, 9000, (), (0.001, 0.003), (0.004, 0.006), "Candidate")


@pytest.mark.parametrize(
    ("figures", "told"),
    [
        (BETTER, "errorRate: the candidate is better (0.002 [0.001 to 0.003] and 0.005 [0.004 to 0.006] on stable)"),
        (replace(BETTER, better="Stable"), "errorRate: stable is better"),
        (replace(BETTER, better="Neither"), "errorRate: no difference"),
        (Figures(), "errorRate: too little was seen to compare"),
    ],
)
def test_a_comparison_ends_with_what_it_found_and_a_question(world: World, figures: Figures, told: str) -> None:
    """Breaks if the winner of a comparison, or a loser, is promoted without a word."""
    world.spec = comparing("v2")
    world.judgements = (Judgement("errorRate", "Pass", "0.2 %", figures=figures),)
    world.until("AwaitingApproval")
    assert world.weights[-1] == {V1: 50, V2: 50}
    world.run(seconds=3600)
    assert world.status.phase == "AwaitingApproval"
    ready = next(one for one in world.status.conditions if one.type == "Ready")
    assert "v2 was compared for 1m at 50 % of the traffic" in ready.message
    assert told in ready.message


def test_a_comparison_lasts_as_long_as_declared(world: World) -> None:
    world.spec = comparing("v2")
    world.judgements = (Judgement("errorRate", "Pass", "0.2 %"),)
    world.until_weight(50)
    world.run(seconds=55)
    assert world.status.phase == "Shifting"
    world.until("AwaitingApproval")


def test_who_approves_a_comparison_has_the_candidate_promoted(world: World) -> None:
    world.spec = comparing("v2")
    world.judgements = (Judgement("errorRate", "Pass", "0.2 %"),)
    world.until("AwaitingApproval")
    world.intents = Intents(approve="v2")
    world.until("Stable")
    assert world.status.stable is not None
    assert world.status.stable.version == "v2"


def test_a_bad_candidate_does_not_wait_for_the_end_of_a_comparison(world: World) -> None:
    world.spec = comparing("v2")
    world.judgements = (Judgement("errorRate", "Pass", "0.2 %"),)
    world.until_weight(50)
    world.judgements = (BAD,)
    world.turn()
    assert world.weights[-1] == {V1: 100, V2: 0}


def test_what_was_said_of_a_share_is_not_said_of_a_version_that_a_service_has(world: World) -> None:
    """Breaks if a version goes on to everything while its metric says that nothing is known; found by the simulation."""
    world.spec = spec("v2")
    world.until_weight(30)
    world.judgements = (SILENT,)
    world.run(seconds=5)
    assert [one.verdict for one in world.status.metrics] == ["NoData"]
    world.spec = world.spec.model_copy(update={"traffic": None})
    world.turn()
    assert (world.service, world.status.metrics) == (V2, [])
