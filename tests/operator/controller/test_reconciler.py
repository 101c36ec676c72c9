"""One reconciliation at a time, against an API server in memory: what is written, in which order, and what failures lead to."""

from datetime import timedelta
from typing import Any

import pytest

from luntra_operator.api.vocabulary import Reason
from luntra_operator.controller.events import event_object
from luntra_operator.controller.reconcile import LONGEST_CONFLICT, REFUSED_RETRY, REPORT_INTERVAL
from luntra_operator.kube import kinds
from luntra_operator.kube.errors import ConflictError, KindMissingError, RefusedError, UnavailableError
from luntra_operator.rollout.actions import Event
from luntra_operator.rollout.observed import Judgement
from tests.operator.controller.in_memory import KEY, MD, START, Operator, model

Object = dict[str, Any]


@pytest.fixture
def operator() -> Operator:
    return Operator()


@pytest.fixture
async def stable(operator: Operator) -> Operator:
    """v1 serves."""
    await operator.settle()
    assert operator.status["phase"] == "Stable"
    operator.kube.writes.clear()
    return operator


@pytest.fixture
async def shifting(stable: Operator) -> Operator:
    """v2 has 20 % and holds there."""
    stable.edit(model=model("v2"))
    await stable.settle()
    assert stable.status["step"]["startedAt"]
    assert stable.weights() == {"digits-w1": 80, "digits-w2": 20}
    stable.kube.writes.clear()
    return stable


async def test_status_is_written_before_anything_is_done(operator: Operator) -> None:
    assert await operator.reconcile(KEY) == 0
    assert operator.kube.writes[0] == ("replace_status", "ModelDeployment", "digits")
    kinds_written = [kind for _, kind, _ in operator.kube.writes[1:]]
    assert kinds_written == ["ControllerRevision", "ConfigMap", "Service", "Deployment", "Event"]


async def test_object_that_is_gone_or_going_is_left_to_garbage_collection(operator: Operator) -> None:
    assert await operator.reconcile(("team-a", "unknown")) is None
    body = operator.kube.peek(MD, "digits")
    body["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert await operator.reconcile(KEY) is None
    assert operator.kube.writes == []


async def test_object_at_rest_is_read_and_nothing_is_written(stable: Operator) -> None:
    asked = stable.gateway.asked
    assert await stable.reconcile(KEY) is None
    assert stable.kube.writes == []
    assert stable.gateway.asked == asked


async def test_report_without_a_decision_is_written_at_most_every_ten_seconds(stable: Operator) -> None:
    labels = stable.kube.peek(kinds.POD, "digits-w1-0")["metadata"]["labels"]
    stable.pod("digits-w1-2", labels)  # one pod more than before, which changes status.replicas alone
    again = await stable.reconcile(KEY)
    assert again is not None
    assert 0 < again <= REPORT_INTERVAL
    assert stable.kube.writes == []
    stable.now += timedelta(seconds=again)
    await stable.reconcile(KEY)
    assert stable.status["replicas"] == 3


async def test_changed_condition_is_reported_at_once(stable: Operator) -> None:
    labels = stable.kube.peek(kinds.POD, "digits-w1-0")["metadata"]["labels"]
    stable.pod("digits-w1-0", labels, ready=False)
    await stable.reconcile(KEY)
    assert stable.ready == ("PodsNotReady", "1 of 2 pods of v1 are ready")


async def test_conflict_of_the_status_means_looking_again_soon_and_doing_nothing(shifting: Operator) -> None:
    shifting.crash("digits-w2")
    shifting.kube.failures["replace_status", MD] = ConflictError("modified (409)")
    again = await shifting.reconcile(KEY)
    assert again is not None
    assert 0 < again < 1
    assert shifting.kube.writes == []


async def test_conflict_that_never_ends_does_not_busy_the_api_server(shifting: Operator) -> None:
    shifting.crash("digits-w2")
    shifting.kube.failures["replace_status", MD] = ConflictError("modified (409)")
    waits = [await shifting.reconcile(KEY) or 0 for _ in range(20)]
    assert waits == sorted(waits)
    assert waits[-1] == LONGEST_CONFLICT
    shifting.kube.failures.clear()
    await shifting.reconcile(KEY)
    shifting.kube.failures["replace_status", MD] = ConflictError("modified (409)")
    shifting.edit(replicas=3)
    assert await shifting.reconcile(KEY) == waits[0]


async def test_rollback_moves_the_traffic_in_the_same_turn(shifting: Operator) -> None:
    shifting.crash("digits-w2")
    await shifting.reconcile(KEY)
    assert shifting.weights() == {"digits-w1": 100, "digits-w2": 0}
    assert [kind for _, kind, _ in shifting.kube.writes][:2] == ["ModelDeployment", "HTTPRoute"]


@pytest.mark.parametrize("failure", [UnavailableError("no answer"), RefusedError("webhook says no (403)")])
async def test_rollback_moves_the_traffic_even_if_the_status_cannot_be_written(
    shifting: Operator, failure: Exception
) -> None:
    shifting.crash("digits-w2")
    shifting.kube.failures["replace_status", MD] = failure  # type: ignore[assignment]
    with pytest.raises(type(failure)):
        await shifting.reconcile(KEY)
    assert shifting.weights() == {"digits-w1": 100, "digits-w2": 0}
    assert shifting.kube.writes == [("patch", "HTTPRoute", "digits")]
    intent = shifting.kube.peek(kinds.HTTP_ROUTE, "digits")["metadata"]["annotations"]["luntra.io/intent"]
    assert intent.endswith("/0")
    shifting.kube.failures.clear()
    await shifting.reconcile(KEY)
    assert shifting.status["phase"] == "RollingBack"


async def test_r2_bad_metric_moves_the_traffic_in_the_turn_that_hears_of_it(shifting: Operator) -> None:
    """Breaks if the judgement is not asked for before the plan is made."""
    shifting.metrics.said = (Judgement("errorRate", "Fail", "4.1 % of 812"),)
    await shifting.reconcile(KEY)
    assert shifting.weights() == {"digits-w1": 100, "digits-w2": 0}
    assert [(one["name"], one["verdict"]) for one in shifting.status["metrics"]] == [("errorRate", "Fail")]


async def test_traffic_is_looked_at_as_long_as_a_new_version_has_some(stable: Operator) -> None:
    assert stable.metrics.keys == set()
    stable.metrics.said = (Judgement("errorRate", "Pass", "0.1 %"),)
    stable.edit(model=model("v2"))
    again = await stable.settle()
    assert stable.metrics.keys == {KEY}
    assert again is not None
    assert again <= REPORT_INTERVAL
    stable.edit(model=model("v1"))
    await stable.settle()
    assert stable.metrics.keys == set()


async def test_figures_of_a_metric_that_says_the_same_are_written_at_most_every_ten_seconds(shifting: Operator) -> None:
    shifting.metrics.said = (Judgement("errorRate", "Pass", "0.1 %"),)
    await shifting.reconcile(KEY)
    shifting.kube.writes.clear()
    shifting.now += timedelta(seconds=1)
    shifting.metrics.said = (Judgement("errorRate", "Pass", "0.2 %"),)
    await shifting.reconcile(KEY)
    assert shifting.kube.writes == []
    shifting.now += timedelta(seconds=REPORT_INTERVAL)
    await shifting.reconcile(KEY)
    assert shifting.status["metrics"][0]["message"] == "0.2 %"


async def test_without_a_gateway_the_service_goes_back_even_if_the_status_cannot_be_written(operator: Operator) -> None:
    operator.edit(traffic=None, rollout={"soak": "1h"})
    operator.kube.peek(MD, "digits")["spec"].pop("traffic")
    await operator.settle()
    operator.edit(model=model("v2"))
    for _ in range(60):
        await operator.settle()
        operator.now += timedelta(seconds=5)
        if operator.status["phase"] == "Soaking":
            break
    selector = operator.kube.peek(kinds.SERVICE, "digits")["spec"]
    assert selector["selector"] == {"luntra.io/workload": "digits-w2"}
    operator.crash("digits-w2")
    operator.kube.failures["replace_status", MD] = UnavailableError("no answer")
    with pytest.raises(UnavailableError):
        await operator.reconcile(KEY)
    assert operator.kube.peek(kinds.SERVICE, "digits")["spec"]["selector"] == {"luntra.io/workload": "digits-w1"}


async def test_progress_waits_for_a_status_that_can_be_written(stable: Operator) -> None:
    stable.edit(model=model("v2"))
    stable.kube.failures["replace_status", MD] = UnavailableError("no answer")
    with pytest.raises(UnavailableError):
        await stable.reconcile(KEY)
    assert stable.kube.writes == []


async def test_rollback_leaves_one_route_where_the_other_cannot_be_written(shifting: Operator) -> None:
    """Breaks if the first write that fails ends the turn: over gRPC the candidate would keep its traffic."""
    gateway = {"parentRefs": [{"name": "gateway"}], "grpc": {"hostnames": ["grpc.digits.example"]}}
    shifting.edit(traffic={"gateway": gateway})
    await shifting.settle()
    assert shifting.weights(kinds.GRPC_ROUTE) == shifting.weights() == {"digits-w1": 80, "digits-w2": 20}
    shifting.crash("digits-w2")
    shifting.kube.failures["patch", kinds.HTTP_ROUTE] = UnavailableError("no answer")
    with pytest.raises(UnavailableError):
        await shifting.reconcile(KEY)
    assert shifting.weights(kinds.GRPC_ROUTE) == {"digits-w1": 100, "digits-w2": 0}
    assert shifting.weights() == {"digits-w1": 80, "digits-w2": 20}
    shifting.kube.failures.clear()
    await shifting.reconcile(KEY)
    assert shifting.weights() == {"digits-w1": 100, "digits-w2": 0}


async def test_snapshot_that_is_not_whole_decides_nothing(shifting: Operator) -> None:
    shifting.kube.failures["list", kinds.POD] = UnavailableError("no answer")
    with pytest.raises(UnavailableError):
        await shifting.reconcile(KEY)
    assert shifting.kube.writes == []


async def test_missing_gateway_api_is_a_condition(operator: Operator) -> None:
    operator.kube.failures["get", kinds.HTTP_ROUTE] = KindMissingError("404 page not found")
    for _ in range(6):
        operator.play_cluster()
        again = await operator.reconcile(KEY)
    assert operator.ready[0] == "GatewayAPIMissing"
    assert again == 10


async def test_grpc_waits_for_a_version_that_has_a_port_for_it(stable: Operator) -> None:
    """Breaks if an old workload's missing port keeps the next version from being rolled out."""
    service = stable.kube.peek(kinds.SERVICE, "digits-w1")
    service["spec"]["ports"] = [port for port in service["spec"]["ports"] if port["name"] != "grpc"]
    gateway = {"parentRefs": [{"name": "gateway"}], "grpc": {"hostnames": ["grpc.digits.example"]}}
    stable.edit(traffic={"gateway": gateway}, rollout={"soak": "0s"})
    await stable.settle()
    assert stable.ready[0] == "GRPCNotServed"
    assert stable.kube.names(kinds.GRPC_ROUTE) == []
    stable.edit(model=model("v2"))
    for _ in range(20):
        await stable.settle()
        stable.now += timedelta(seconds=30)
    assert stable.ready[0] == "Stable"
    assert stable.weights(kinds.GRPC_ROUTE) == {"digits-w2": 100}


async def test_session_that_nothing_keeps_is_a_condition_until_nothing_divides_the_traffic(stable: Operator) -> None:
    """Breaks if a plain Service, which moves each session once, is refused with the others."""
    session = {"session": {"header": "x-session-id"}}
    stable.edit(traffic={"gateway": {"parentRefs": [{"name": "gateway"}]}, **session}, model=model("v2"))
    await stable.settle()
    assert stable.ready[0] == "SessionsNotKept"
    assert stable.kube.names(kinds.DEPLOYMENT) == ["digits-w1"]
    stable.edit(traffic=session, rollout={"soak": "0s"})
    for _ in range(20):
        await stable.settle()
        stable.now += timedelta(seconds=30)
    assert stable.ready[0] == "Stable"
    assert stable.kube.names(kinds.DEPLOYMENT) == ["digits-w2"]


async def test_last_part_of_a_workload_whose_deletion_was_cut_short_goes_too(stable: Operator) -> None:
    budget = stable.kube.peek(kinds.POD_DISRUPTION_BUDGET, "digits-w1")
    labels = {**budget["metadata"]["labels"], "luntra.io/workload": "digits-w7"}
    stable.kube.put(
        kinds.POD_DISRUPTION_BUDGET, {"metadata": {**budget["metadata"], "name": "digits-w7", "labels": labels}}
    )
    stable.now += timedelta(seconds=6)
    await stable.settle()
    assert stable.kube.names(kinds.POD_DISRUPTION_BUDGET) == ["digits-w1"]


async def test_preview_is_written_beside_the_weights_and_read_back(shifting: Operator) -> None:
    """Breaks if the executor forgets it, or the snapshot does: it would be written again in every turn."""
    declared = {"preview": {"header": {"name": "x-preview", "value": "next"}}}
    shifting.edit(traffic={"gateway": {"parentRefs": [{"name": "gateway"}], **declared}})
    for _ in range(3):  # the frame is widened, then replaced
        await shifting.reconcile(KEY)
    written = shifting.kube.peek(kinds.HTTP_ROUTE, "digits")["metadata"]["resourceVersion"]
    for _ in range(3):
        await shifting.reconcile(KEY)
    assert shifting.kube.peek(kinds.HTTP_ROUTE, "digits")["metadata"]["resourceVersion"] == written
    preview, ordinary = shifting.kube.peek(kinds.HTTP_ROUTE, "digits")["spec"]["rules"]
    assert [ref["name"] for ref in preview["backendRefs"]] == ["digits-w2"]
    assert [(ref["name"], ref["weight"]) for ref in ordinary["backendRefs"]] == [("digits-w1", 80), ("digits-w2", 20)]


async def test_invalid_spec_is_a_condition_and_what_serves_goes_on(stable: Operator) -> None:
    stable.edit(replicas=-1)
    assert await stable.reconcile(KEY) is None, "only another spec helps, and that is an event"
    assert stable.ready[0] == "InvalidSpec"
    assert "spec.replicas" in stable.ready[1]
    available = next(one for one in stable.status["conditions"] if one["type"] == "Available")
    assert available["status"] == "True"
    assert stable.status["observedGeneration"] == stable.kube.peek(MD, "digits")["metadata"]["generation"]
    assert [verb for verb, _, _ in stable.kube.writes] == ["replace_status"]
    stable.edit(replicas=2)
    await stable.settle()
    assert stable.ready[0] == "Stable"


async def test_first_spec_that_is_invalid_is_waited_for_and_not_polled(operator: Operator) -> None:
    operator.edit(replicas=-1)
    assert await operator.reconcile(KEY) is None
    assert operator.ready[0] == "InvalidSpec"
    assert [verb for verb, _, _ in operator.kube.writes] == ["replace_status"]
    operator.edit(replicas=1)
    await operator.settle()
    assert operator.ready[0] == "Stable"


BROKEN: list[Object] = [
    {"replicas": -1},
    {"traffic": {"gateway": {}}},
    {"traffic": {"gateway": {"parentRefs": [{"name": "gateway"}], "hostnames": ["new.example"], "colour": "blue"}}},
    {"model": {"version": "v3"}},
    {"serving": {"image": 7}},
    {"rollout": {"steps": [{"weight": 50}, {"weight": 20}]}},
]


@pytest.mark.parametrize("broken", BROKEN, ids=str)
async def test_spec_that_becomes_invalid_in_mid_rollout_holds_the_step_and_repairs_the_route(
    shifting: Operator, broken: Object
) -> None:
    """Breaks if anything of such a spec is begun, or what it no longer says is undone."""
    route = shifting.kube.peek(kinds.HTTP_ROUTE, "digits")
    shifting.edit(**broken)
    for _ in range(4):
        shifting.now += timedelta(hours=1)
        shifting.play_cluster()
        await shifting.reconcile(KEY)
    assert shifting.ready[0] == "InvalidSpec"
    assert (shifting.status["step"]["weight"], shifting.status["candidate"]["version"]) == (20, "v2")
    assert {kind for _, kind, _ in shifting.kube.writes} == {"ModelDeployment"}
    route["spec"]["rules"][0]["backendRefs"][1]["weight"] = 90
    await shifting.reconcile(KEY)
    assert shifting.weights() == {"digits-w1": 80, "digits-w2": 20}
    after = shifting.kube.peek(kinds.HTTP_ROUTE, "digits")["spec"]
    assert {**after, "rules": []} == {**route["spec"], "rules": []}


@pytest.mark.parametrize("broken", BROKEN, ids=str)
async def test_candidate_that_dies_under_an_invalid_spec_is_taken_back(shifting: Operator, broken: Object) -> None:
    """Breaks if a slip of the pen blinds the automatic rollback."""
    shifting.edit(**broken)
    await shifting.reconcile(KEY)
    shifting.crash("digits-w2")
    await shifting.reconcile(KEY)
    assert shifting.weights() == {"digits-w1": 100, "digits-w2": 0}
    shifting.now += timedelta(minutes=1)
    await shifting.settle()
    assert shifting.status["phase"] == "RolledBack"
    assert shifting.status["rejectedReason"] == "CandidateDied"
    assert shifting.ready[0] == "InvalidSpec"


async def test_metric_that_fails_under_an_invalid_spec_takes_the_candidate_back(shifting: Operator) -> None:
    shifting.edit(serving={"image": 7})
    await shifting.reconcile(KEY)
    shifting.metrics.said = (Judgement("errorRate", "Fail", "4.1 % of 812"),)
    await shifting.reconcile(KEY)
    assert shifting.weights() == {"digits-w1": 100, "digits-w2": 0}
    assert shifting.status["withdrawal"]["reason"] == "MetricFailed"


async def test_mended_spec_goes_on_with_the_rollout_where_it_was(shifting: Operator) -> None:
    attempt, rollout = shifting.status["attempt"], shifting.kube.peek(MD, "digits")["spec"]["rollout"]
    shifting.edit(rollout={**rollout, "soak": "soon"})
    await shifting.reconcile(KEY)
    shifting.now += timedelta(hours=2)
    await shifting.reconcile(KEY)
    assert shifting.weights() == {"digits-w1": 80, "digits-w2": 20}
    shifting.edit(rollout=rollout)
    await shifting.settle()
    assert (shifting.status["phase"], shifting.status["stable"]["version"]) == ("Soaking", "v2")
    assert shifting.status["attempt"] == attempt


async def test_soak_under_an_invalid_spec_lasts_and_still_gives_back(shifting: Operator) -> None:
    shifting.now += timedelta(hours=2)
    await shifting.settle()
    assert shifting.status["phase"] == "Soaking"
    shifting.edit(serving={"image": 7})
    shifting.now += timedelta(hours=5)
    await shifting.settle()
    assert shifting.status["previous"]["version"] == "v1"
    shifting.crash("digits-w2")
    await shifting.reconcile(KEY)
    assert shifting.weights() == {"digits-w1": 100, "digits-w2": 0}


async def test_paused_object_with_an_invalid_spec_stays_untouched(shifting: Operator) -> None:
    rollout = shifting.kube.peek(MD, "digits")["spec"]["rollout"]
    shifting.edit(serving={"image": 7}, rollout={**rollout, "paused": True})
    shifting.crash("digits-w2")
    await shifting.reconcile(KEY)
    assert shifting.weights() == {"digits-w1": 80, "digits-w2": 20}


async def test_refused_pod_template_is_a_condition_that_names_the_field(stable: Operator) -> None:
    stable.edit(model=model("v2"), serving={"podTemplate": {"spec": {"hostNetwork": True}}})
    await stable.settle()
    assert stable.ready == (
        "InvalidSpec",
        "spec.serving.podTemplate.spec.hostNetwork is refused: a model server has no business on its host",
    )
    assert stable.weights() == {"digits-w1": 100}
    assert "candidate" not in stable.status
    stable.edit(serving={})
    await stable.settle()
    assert stable.status["candidate"]["version"] == "v2"


async def test_quota_that_refuses_an_object_is_named(stable: Operator) -> None:
    stable.edit(model=model("v2"))
    stable.kube.failures["apply", kinds.SERVICE] = RefusedError(
        "POST x: services is forbidden: exceeded quota: small (403)"
    )
    assert await stable.reconcile(KEY) == REFUSED_RETRY
    assert stable.ready[0] == "QuotaExceeded"
    written = len(stable.kube.writes)
    assert await stable.reconcile(KEY) == REFUSED_RETRY
    assert len(stable.kube.writes) == written, "the condition does not flap"


async def test_transition_is_announced_even_if_its_actions_fail(stable: Operator) -> None:
    stable.edit(model=model("v2"))
    stable.kube.failures["apply", kinds.CONFIG_MAP] = UnavailableError("no answer")
    with pytest.raises(UnavailableError):
        await stable.reconcile(KEY)
    reasons = [stable.kube.peek(kinds.EVENT, name)["reason"] for name in stable.kube.names(kinds.EVENT)]
    assert "RolloutStarted" in reasons


async def test_event_that_cannot_be_written_holds_nothing_up(stable: Operator) -> None:
    stable.edit(model=model("v2"))
    stable.kube.failures["create", kinds.EVENT] = RefusedError("forbidden")
    assert await stable.reconcile(KEY) == 0
    assert "digits-w2" in stable.kube.names(kinds.DEPLOYMENT)


async def test_what_an_earlier_turn_stored_counts_and_not_todays_settings(operator: Operator) -> None:
    await operator.reconcile(KEY)
    (name,) = operator.kube.names(kinds.CONTROLLER_REVISION)
    operator.kube.peek(kinds.CONTROLLER_REVISION, name)["data"]["image"] = "luntra/inference:old"
    await operator.kube.delete(kinds.DEPLOYMENT, "team-a", "digits-w1")
    await operator.reconcile(KEY)
    template = operator.kube.peek(kinds.DEPLOYMENT, "digits-w1")["spec"]["template"]
    assert template["spec"]["containers"][0]["image"] == "luntra/inference:old"


async def test_name_that_a_deleted_object_has_left_to_garbage_collection_is_not_used_again(operator: Operator) -> None:
    operator.pod("digits-w3-0", {"luntra.io/model-deployment": "digits", "luntra.io/workload": "digits-w3"})
    await operator.reconcile(KEY)
    assert operator.status["candidate"]["workload"] == "digits-w4"


async def test_existing_parts_of_a_workload_are_left_as_they_are(stable: Operator) -> None:
    await stable.kube.delete(kinds.SERVICE, "team-a", "digits-w1")
    stable.kube.writes.clear()
    await stable.reconcile(KEY)
    assert ("apply", "Service", "digits-w1") in stable.kube.writes
    assert not any(kind == "Deployment" for _, kind, _ in stable.kube.writes)


async def test_lost_revision_of_a_damaged_workload_is_told(stable: Operator) -> None:
    stable.edit(model=model("v2"))
    await stable.settle()
    (name,) = [
        n for n in stable.kube.names(kinds.CONTROLLER_REVISION) if n.endswith(stable.status["stable"]["revision"])
    ]
    await stable.kube.delete(kinds.CONTROLLER_REVISION, "team-a", name)
    await stable.kube.delete(kinds.CONFIG_MAP, "team-a", "digits-w1")
    await stable.reconcile(KEY)
    assert f"ControllerRevision {name} is gone, so digits-w1 cannot be rendered" in stable.ready[1]


def test_name_of_an_event_is_the_same_for_the_same_transition_and_no_other() -> None:
    owner = {"metadata": {"name": "digits", "namespace": "team-a", "uid": "u"}}
    event = Event(Reason.PROMOTED, "v2 is the stable version")
    first, later = event_object(owner, event, 2, START), event_object(owner, event, 2, START + timedelta(hours=1))
    assert first["metadata"]["name"] == later["metadata"]["name"]
    others = [
        event_object(owner, event, 3, START),
        event_object(owner, Event(Reason.PROMOTED, "v3 is the stable version"), 2, START),
        event_object(owner, Event(Reason.RELEASED, "v2 is the stable version"), 2, START),
        event_object({"metadata": {**owner["metadata"], "uid": "w"}}, event, 2, START),
    ]
    assert len({body["metadata"]["name"] for body in [first, *others]}) == 5
    assert first["involvedObject"]["uid"] == "u"
    assert (first["type"], first["reason"], first["firstTimestamp"]) == ("Normal", "Promoted", "2026-01-01T00:00:00Z")
    assert len(event_object(owner, Event(Reason.PROMOTED, "x" * 5000), 1, START)["message"]) == 1024


async def test_repair_that_meets_another_writer_is_announced_once_and_done_in_the_next_turn(shifting: Operator) -> None:
    route = shifting.kube.peek(kinds.HTTP_ROUTE, "digits")
    route["spec"]["rules"][0]["backendRefs"][1]["weight"] = 90
    shifting.kube.failures["patch", kinds.HTTP_ROUTE] = ConflictError("the gateway wrote the route's status meanwhile")
    again = await shifting.reconcile(KEY)
    assert again is not None
    assert again < 1
    shifting.kube.failures.clear()
    await shifting.reconcile(KEY)
    assert shifting.weights() == {"digits-w1": 80, "digits-w2": 20}
    events = [shifting.kube.peek(kinds.EVENT, name)["reason"] for name in shifting.kube.names(kinds.EVENT)]
    assert events.count("RouteRepaired") == 1


async def test_new_public_keys_reach_every_workload_but_those_of_a_paused_object(shifting: Operator) -> None:
    """Breaks if a rotation leaves pods behind that do not know the key which signs next."""

    def handed_out() -> set[str | None]:
        names = shifting.kube.names(kinds.CONFIG_MAP)
        return {shifting.kube.peek(kinds.CONFIG_MAP, name)["data"].get("keys.json") for name in names}

    assert handed_out() == {None}
    shifting.keys = '{"keys": [1]}'
    await shifting.reconcile(KEY)
    assert handed_out() == {shifting.keys}
    shifting.kube.writes.clear()
    await shifting.reconcile(KEY)
    assert shifting.kube.writes == []
    rollout = shifting.kube.peek(MD, "digits")["spec"]["rollout"]
    shifting.edit(rollout={**rollout, "paused": True})
    shifting.keys = '{"keys": [1, 2]}'
    await shifting.reconcile(KEY)
    assert handed_out() == {'{"keys": [1]}'}
    shifting.edit(rollout=rollout)
    await shifting.reconcile(KEY)
    assert handed_out() == {shifting.keys}


async def test_workload_that_is_made_with_keys_has_its_server_read_them(operator: Operator) -> None:
    operator.keys = '{"keys": []}'
    await operator.reconcile(KEY)
    assert operator.kube.peek(kinds.CONFIG_MAP, "digits-w1")["data"]["keys.json"] == operator.keys
    (container,) = operator.kube.peek(kinds.DEPLOYMENT, "digits-w1")["spec"]["template"]["spec"]["containers"]
    assert "--keys=/etc/luntra/keys.json" in container["args"]
    assert {"name": "LUNTRA_POD_UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}} in container["env"]
