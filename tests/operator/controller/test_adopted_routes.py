"""Whole rollouts behind a route of the user's: what is in it at any time, what users get, and that it is given back."""

import copy
import json
from datetime import timedelta
from typing import Any

import pytest

from luntra_operator.api.vocabulary import ANNOTATION_ADOPTED, FINALIZER_ADOPTED
from luntra_operator.kube import kinds
from luntra_operator.kube.errors import ConflictError, UnavailableError
from tests.operator.controller.adopting import ROUTE, Adopting, user_route
from tests.operator.controller.in_memory import KEY, MD, model

Object = dict[str, Any]


@pytest.fixture
async def stable() -> Adopting:
    """v1 serves behind the user's route."""
    operator = Adopting()
    await operator.rest(20)
    assert operator.status["phase"] == "Stable", operator.status
    operator.kube.writes.clear()
    return operator


@pytest.fixture
async def shifting(stable: Adopting) -> Adopting:
    """v2 has 20 %."""
    stable.roll_out(steps=[{"weight": 20, "hold": "1h"}])
    await stable.rest(20)
    assert stable.shares() == {"digits": 80, "digits-w2": 20}
    return stable


async def test_first_version_serves_without_a_write_to_the_route(stable: Adopting) -> None:
    assert stable.restored
    assert stable.finalizers == []
    assert stable.served == [{"digits-w1": 100}]
    assert ("patch", "HTTPRoute", ROUTE) not in stable.kube.writes


async def test_r1_rollout_ends_with_the_route_as_the_user_wrote_it(stable: Adopting) -> None:
    """Breaks if a weight goes back to the Service before the gateway knows its new endpoints: users would see v1 again."""
    stable.roll_out()
    await stable.rest(90)
    assert stable.status["phase"] == "Stable"
    assert stable.served == [{"digits-w1": 100}, {"digits-w1": 80, "digits-w2": 20}, {"digits-w2": 100}]
    assert stable.restored
    assert (stable.finalizers, stable.status.get("adopted", [])) == ([], [])
    assert stable.kube.names(kinds.DEPLOYMENT) == ["digits-w2"]


async def test_r9_nothing_but_our_weights_changes_while_it_is_lent(shifting: Adopting) -> None:
    route, wanted = shifting.route, user_route()
    assert route["metadata"]["annotations"].pop(ANNOTATION_ADOPTED)
    refs = wanted["spec"]["rules"][1]["backendRefs"]
    refs[1]["weight"] = 80
    refs.append({**refs[1], "name": "digits-w2", "weight": 20})
    assert json.dumps(route, sort_keys=True) == json.dumps(wanted, sort_keys=True)
    assert shifting.finalizers == [FINALIZER_ADOPTED]
    assert shifting.status["adopted"] == [ROUTE]


async def test_what_the_user_changes_in_a_lent_route_stays_changed(shifting: Adopting) -> None:
    body = shifting.kube.peek(kinds.HTTP_ROUTE, ROUTE)
    body["spec"]["hostnames"].append("new.example")
    body["spec"]["rules"][1]["backendRefs"][1]["port"] = 8081
    shifting.kube.put(kinds.HTTP_ROUTE, body)
    shifting.crash("digits-w2")
    await shifting.rest(30)
    wanted = user_route()
    wanted["spec"]["hostnames"].append("new.example")
    wanted["spec"]["rules"][1]["backendRefs"][1]["port"] = 8081
    assert shifting.route == wanted


async def test_finalizer_is_there_before_the_first_patch_of_the_route(stable: Adopting) -> None:
    stable.roll_out()
    stable.kube.failures["patch", MD] = UnavailableError("no answer")
    for _ in range(20):
        try:
            await stable.turn()
        except UnavailableError:
            break
    assert stable.restored
    stable.kube.failures.clear()
    await stable.rest(10)
    writes = [write for write in stable.kube.writes if write[0] == "patch"]
    assert writes.index(("patch", "ModelDeployment", "digits")) < writes.index(("patch", "HTTPRoute", ROUTE))


async def test_r2_candidate_that_dies_gets_nothing_and_the_route_goes_back(shifting: Adopting) -> None:
    shifting.crash("digits-w2")
    await shifting.turn()
    assert shifting.shares() == {"digits": 100, "digits-w2": 0}
    await shifting.rest(30)
    assert shifting.status["phase"] == "RolledBack"
    assert shifting.restored
    assert shifting.finalizers == []


async def test_r2_version_that_dies_in_its_soak_gets_nothing_ever_again(stable: Adopting) -> None:
    """Breaks if the route goes back to the Service while the gateway still takes it for the refused version's."""
    stable.roll_out(soak="1h")
    await stable.rest(40)
    assert stable.status["phase"] == "Soaking"
    assert stable.shares() == {"digits": 0, "digits-w2": 100, "digits-w1": 0}
    stable.crash("digits-w2")
    await stable.rest(60)
    assert stable.status["phase"] == "RolledBack"
    assert stable.served[-2:] == [{"digits-w2": 100}, {"digits-w1": 100}]
    assert stable.restored


async def test_r20_taken_back_without_a_status_is_remembered_in_the_route(shifting: Adopting) -> None:
    """Breaks if a route is given back before the refusal is in the status: the candidate would get its weight again."""
    shifting.crash("digits-w2")
    for number in range(2):
        labels = shifting.kube.peek(kinds.POD, f"digits-w2-{number}")["metadata"]["labels"]
        shifting.pod(f"digits-w2-{number}", labels, restarts=1, ready=False)
    shifting.kube.failures["replace_status", MD] = UnavailableError("no answer")
    with pytest.raises(UnavailableError):
        await shifting.turn()
    assert shifting.shares() == {"digits": 100}
    for number in range(2):
        shifting.pod(f"digits-w2-{number}", labels)
    shifting.kube.failures.clear()
    shifting.served.clear()
    await shifting.rest(30)
    assert shifting.status["phase"] == "RolledBack"
    assert shifting.served == [{"digits-w1": 100}]


@pytest.mark.parametrize("weight", [0, 1, 100])
async def test_r8_foreign_weight_is_repaired(shifting: Adopting, weight: int) -> None:
    body = shifting.kube.peek(kinds.HTTP_ROUTE, ROUTE)
    body["spec"]["rules"][1]["backendRefs"][-1]["weight"] = weight
    shifting.kube.put(kinds.HTTP_ROUTE, body)
    await shifting.turn()
    assert shifting.shares() == {"digits": 80, "digits-w2": 20}


async def test_r16_route_that_is_replaced_once_is_adopted_again(shifting: Adopting) -> None:
    shifting.reapply()
    await shifting.rest(3)
    assert shifting.shares() == {"digits": 80, "digits-w2": 20}
    assert shifting.ready[0] == "Progressing"


@pytest.fixture
async def contended(shifting: Adopting) -> Adopting:
    """The route was replaced again and again."""
    for _ in range(4):
        shifting.reapply()
        await shifting.rest(3)
    return shifting


async def test_r16_contended_route_is_left_alone_with_the_candidate_at_0(contended: Adopting) -> None:
    reason, message = contended.ready
    assert reason == "RouteContended"
    assert "/spec/rules/*/backendRefs" in message
    assert contended.restored
    assert contended.finalizers == []
    contended.kube.writes.clear()
    await contended.rest(100)
    contended.reapply()
    await contended.rest(100)
    assert [write for write in contended.kube.writes if write[1] == "HTTPRoute"] == []
    assert contended.status["candidate"]["version"] == "v2"
    stalled = next(one for one in contended.status["conditions"] if one["type"] == "Stalled")
    assert (stalled["status"], stalled["reason"]) == ("True", "RouteContended")


async def test_r16_slow_applier_is_repaired_each_time(shifting: Adopting) -> None:
    for _ in range(6):
        shifting.reapply()
        await shifting.rest(31)
    assert shifting.shares() == {"digits": 80, "digits-w2": 20}


@pytest.mark.parametrize("how", ["retry", "spec"])
async def test_r16_goes_on_when_asked(contended: Adopting, how: str) -> None:
    if how == "spec":
        contended.edit(rollout={"steps": [{"weight": 20, "hold": "1h"}], "soak": "1h", "approval": "Never"})
    else:
        body = contended.kube.peek(MD, "digits")
        value = f"{contended.status['candidate']['revision']}/again"
        contended.kube.put(MD, {**body, "metadata": {**body["metadata"], "annotations": {"luntra.io/retry": value}}})
    await contended.rest(20)
    assert contended.shares() == {"digits": 80, "digits-w2": 20}


async def test_r16_abort_ends_it(contended: Adopting) -> None:
    body = contended.kube.peek(MD, "digits")
    contended.kube.put(MD, {**body, "metadata": {**body["metadata"], "annotations": {"luntra.io/abort": "v2"}}})
    await contended.rest(20)
    assert contended.status["phase"] == "RolledBack"
    assert contended.restored
    assert contended.finalizers == []


def delete(operator: Adopting) -> None:
    """The user deletes the object; the API server keeps it while it has finalizers."""
    body = operator.kube.peek(MD, "digits")
    body["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    operator.kube.put(MD, body)


async def test_r17_deleted_object_gives_the_route_back_then_goes(shifting: Adopting) -> None:
    delete(shifting)
    await shifting.reconcile(KEY)
    assert shifting.restored
    assert shifting.finalizers == []


@pytest.mark.parametrize("how", ["gone", "replaced", "spec invalid", "conflict"])
async def test_r17_deletion_never_hangs(shifting: Adopting, how: str) -> None:
    if how == "gone":
        await shifting.kube.delete(kinds.HTTP_ROUTE, "team-a", ROUTE)
    elif how == "replaced":
        shifting.reapply()
    elif how == "spec invalid":
        shifting.kube.peek(MD, "digits")["spec"] = {}
    delete(shifting)
    if how == "conflict":
        shifting.kube.failures["patch", kinds.HTTP_ROUTE] = ConflictError("changed")
        assert await shifting.reconcile(KEY)
        assert shifting.finalizers == [FINALIZER_ADOPTED]
        shifting.kube.failures.clear()
    await shifting.reconcile(KEY)
    assert shifting.finalizers == []
    assert how == "gone" or shifting.restored


@pytest.mark.parametrize("share", [0, 20])
async def test_r19_what_is_lent_goes_back_although_status_and_spec_say_nothing_of_it(
    stable: Adopting, share: int
) -> None:
    """Breaks if a loan is forgotten with the status; found by the simulation: a workload went that a route still named."""
    stable.roll_out(steps=[{"weight": 20, "hold": "1h"}])
    while stable.shares().get("digits-w2") != share:
        await stable.rest(0.5)
    stable.kube.peek(MD, "digits").pop("status")
    stable.edit(traffic=None, rollout={"steps": [], "soak": "4s"})
    await stable.rest(60)
    assert stable.status["phase"] == "Stable"
    assert stable.restored
    assert stable.finalizers == []


async def test_r17_deletion_gives_back_what_a_lost_status_no_longer_names(shifting: Adopting) -> None:
    """Breaks if only the status knows what is lent."""
    shifting.kube.peek(MD, "digits").pop("status")
    shifting.kube.peek(MD, "digits")["spec"].pop("traffic")
    delete(shifting)
    await shifting.reconcile(KEY)
    assert shifting.restored
    assert shifting.finalizers == []


async def test_r18_another_route_serves_before_the_first_goes_back(shifting: Adopting) -> None:
    second = {**user_route(), "metadata": {"name": "second", "namespace": "team-a"}}
    shifting.kube.put(kinds.HTTP_ROUTE, copy.deepcopy(second))
    shifting.edit(traffic={"gateway": {"mode": "Adopted", "routeRef": {"name": "second"}}})
    await shifting.turn()
    assert (shifting.shares("second"), shifting.restored) == ({"digits": 80, "digits-w2": 20}, False)
    await shifting.rest(20)
    assert shifting.restored
    assert shifting.shares("second") == {"digits": 80, "digits-w2": 20}
    assert shifting.status["adopted"] == ["second"]


async def test_r18_adopted_to_owned_in_mid_rollout(shifting: Adopting) -> None:
    shifting.edit(traffic={"gateway": {"parentRefs": [{"name": "gateway"}]}})
    shifting.kube.put(kinds.HTTP_ROUTE, shifting.kube.peek(kinds.HTTP_ROUTE, ROUTE))
    await shifting.turn()
    assert shifting.shares("digits", 0) == {"digits-w1": 80, "digits-w2": 20}
    assert not shifting.restored


async def test_rule_that_shares_with_others_keeps_a_rollout_from_beginning(stable: Adopting) -> None:
    body = stable.kube.peek(kinds.HTTP_ROUTE, ROUTE)
    body["spec"]["rules"][1]["backendRefs"][0]["weight"] = 5
    stable.kube.put(kinds.HTTP_ROUTE, body)
    stable.roll_out()
    await stable.rest(20)
    assert stable.ready[0] == "ForeignBackend"
    assert stable.kube.names(kinds.DEPLOYMENT) == ["digits-w1"]


async def test_fix_takes_over_from_a_stable_version_that_is_dead(stable: Adopting) -> None:
    """Breaks if the user's backend at 0 passes for the dead version being named: the weights would never count as written."""
    for number in range(2):
        labels = stable.kube.peek(kinds.POD, f"digits-w1-{number}")["metadata"]["labels"]
        stable.pod(f"digits-w1-{number}", labels, ready=False)
    stable.roll_out()
    await stable.rest(90)
    assert (stable.status["phase"], stable.status["stable"]["version"]) == ("Stable", "v2")
    assert stable.restored


async def test_version_that_serves_on_for_a_dead_stable_one_is_no_contention(shifting: Adopting) -> None:
    """Breaks if our own unfinished work counts as somebody's repeated edits: the fix would wait for a person; found by the simulation."""
    for number in range(2):
        labels = shifting.kube.peek(kinds.POD, f"digits-w1-{number}")["metadata"]["labels"]
        shifting.pod(f"digits-w1-{number}", labels, ready=False)
        shifting.pod(f"digits-w3-{number}", {})  # keeps the place of one that is not there yet
    shifting.roll_out("v3")
    await shifting.rest(10)
    for number in range(2):
        shifting.pod(f"digits-w3-{number}", {**labels, "luntra.io/workload": "digits-w3"})
    await shifting.rest(120)
    assert (shifting.status["phase"], shifting.status["stable"]["version"]) == ("Stable", "v3")
    assert shifting.restored


async def test_backend_of_ours_goes_only_after_it_gets_no_requests_any_more(stable: Adopting) -> None:
    """Breaks if a rule goes back in one write: a proxy that drops the backend before it hears of the route answers 503."""
    stable.roll_out()
    seen: list[dict[str, int]] = []
    while not seen or seen[-1] != {"digits": 1} or len(seen) < 3:
        await stable.rest(0.5)
        if not seen or seen[-1] != stable.shares():
            seen.append(stable.shares())
    assert seen[-3:] == [{"digits": 0, "digits-w2": 100}, {"digits": 100, "digits-w2": 0}, {"digits": 1}]


async def test_r18_workload_stays_until_a_rule_that_goes_back_has_forgotten_it(stable: Adopting) -> None:
    """Breaks if the user's route names a Service for a moment that is gone; found by the simulation."""
    stable.roll_out(soak="1h")
    await stable.rest(40)
    stable.reapply()
    await stable.rest(1)
    assert stable.shares()["digits-w1"] == 0
    stable.edit(traffic=None)
    stable.roll_out(steps=[], soak="1s")
    for _ in range(200):
        await stable.rest(0.2)
        assert "digits-w1" in {*stable.kube.names(kinds.SERVICE)} or "digits-w1" not in stable.shares()
    assert "digits-w1" not in stable.kube.names(kinds.SERVICE)
    await stable.rest(10)
    assert stable.restored


async def test_r18_candidate_that_dies_on_the_way_to_a_plain_service_gets_nothing_at_once(shifting: Adopting) -> None:
    """Breaks if a route that the spec names no more waits for the Service with its weights as they were."""
    shifting.edit(traffic=None, rollout={"soak": "1h"})
    await shifting.rest(2)
    assert shifting.shares() == {"digits": 0, "digits-w2": 100}
    shifting.crash("digits-w2")
    await shifting.turn()
    assert shifting.shares() == {"digits": 0, "digits-w2": 0, "digits-w1": 100}
    await shifting.rest(60)
    assert shifting.status["phase"] == "RolledBack"
    assert shifting.restored
    assert shifting.finalizers == []
    reasons = {shifting.kube.peek(kinds.EVENT, name)["reason"] for name in shifting.kube.names(kinds.EVENT)}
    assert "RouteRepaired" not in reasons


async def test_r18_adopted_to_owned_and_the_object_can_be_deleted_at_once_again(shifting: Adopting) -> None:
    """Breaks if the finalizer stays for the rest of a rollout in which nothing is lent any more."""
    shifting.edit(traffic={"gateway": {"parentRefs": [{"name": "gateway"}]}})
    for _ in range(60):
        await shifting.reconcile(KEY)
        for name in shifting.kube.names(kinds.HTTP_ROUTE):
            route = shifting.kube.peek(kinds.HTTP_ROUTE, name)
            route["status"] = {
                "parents": [
                    {
                        "parentRef": {"name": "gateway"},
                        "conditions": [
                            {"type": kind, "status": "True", "observedGeneration": route["metadata"]["generation"]}
                            for kind in ("Accepted", "ResolvedRefs")
                        ],
                    }
                ]
            }
        shifting.now += timedelta(seconds=0.5)
    assert shifting.shares("digits", 0) == {"digits-w1": 80, "digits-w2": 20}
    assert (shifting.restored, shifting.finalizers, shifting.status["phase"]) == (True, [], "Shifting")


class NeverReady(Adopting):
    """No pod gets ready, so there is no Service <name> yet, which the gateway says of the user's route."""

    def pod(self, name: str, labels: Object, *, restarts: int = 0, ready: bool = True) -> None:
        super().pod(name, labels, restarts=restarts, ready=False)

    def _follow(self, route: Object) -> None:
        super()._follow(route)
        route["status"]["parents"][0]["conditions"][1] |= {"status": "False", "reason": "BackendNotFound"}


async def test_superseded_first_version_goes_although_the_route_leads_nowhere_yet() -> None:
    """Breaks if pods of versions that never served stay until the gateway finds a Service that no version has."""
    operator = NeverReady()
    await operator.rest(5)
    operator.roll_out("v2")
    await operator.rest(5)
    assert operator.kube.names(kinds.DEPLOYMENT) == ["digits-w2"]
    assert "digits" not in operator.kube.names(kinds.SERVICE)


@pytest.mark.parametrize(
    "traffic",
    [
        {"gateway": {"mode": "Adopted", "routeRef": {"name": ROUTE}}},
        None,
        {"gateway": {"parentRefs": [{"name": "gateway"}]}},
    ],
    ids=["adopted", "dropped", "owned"],
)
async def test_r13_route_is_not_given_back_to_a_stable_version_that_is_dead(
    shifting: Adopting, traffic: Object | None
) -> None:
    """Breaks if a write that is unsafe as a weight is done as the end of a loan; found by the simulation."""
    labels = shifting.kube.peek(kinds.POD, "digits-w1-0")["metadata"]["labels"]
    for number in range(2):
        shifting.pod(f"digits-w1-{number}", labels, ready=False)
    shifting.edit(traffic=traffic)
    body = shifting.kube.peek(MD, "digits")
    shifting.kube.put(MD, {**body, "metadata": {**body["metadata"], "annotations": {"luntra.io/abort": "v2"}}})
    await shifting.rest(60)
    assert shifting.shares() == {"digits": 80, "digits-w2": 20}
    for number in range(2):
        shifting.pod(f"digits-w1-{number}", labels)
    await shifting.rest(60)
    assert shifting.restored


async def test_r13_route_is_not_given_back_to_a_dead_stable_version_because_another_serves(shifting: Adopting) -> None:
    """Breaks if the end of a loan is taken for a change of frame that moves nobody; found by the simulation."""
    labels = shifting.kube.peek(kinds.POD, "digits-w1-0")["metadata"]["labels"]
    for number in range(2):
        shifting.pod(f"digits-w1-{number}", labels, ready=False)
    shifting.edit(traffic={"gateway": {"parentRefs": [{"name": "gateway"}]}})
    await shifting.rest(30)
    assert shifting.shares("digits", 0) == {"digits-w1": 80, "digits-w2": 20}
    assert shifting.status["traffic"]["observed"] == 20
    assert shifting.shares() == {"digits": 80, "digits-w2": 20}
    for number in range(2):
        shifting.pod(f"digits-w1-{number}", labels)
    await shifting.rest(30)
    assert shifting.restored


async def test_r13_workload_that_a_stray_route_still_sends_to_outlives_what_proxies_know(shifting: Adopting) -> None:
    """Breaks if the Service alone tells what is written while a route of the user's serves on; found by the simulation."""
    labels = shifting.kube.peek(kinds.POD, "digits-w1-0")["metadata"]["labels"]
    for number in range(2):
        shifting.pod(f"digits-w1-{number}", labels, ready=False)
    shifting.edit(traffic=None, rollout={"soak": "4s"})
    body = shifting.kube.peek(MD, "digits")
    shifting.kube.put(MD, {**body, "metadata": {**body["metadata"], "annotations": {"luntra.io/abort": "v2"}}})
    await shifting.rest(30)
    assert shifting.shares() == {"digits": 80, "digits-w2": 20}
    assert shifting.status["traffic"].get("observed") is None
    for number in range(2):
        shifting.pod(f"digits-w1-{number}", labels)
    while shifting.shares().get("digits-w2"):
        await shifting.rest(0.5)
    await shifting.rest(4)
    assert "digits-w2" in shifting.kube.names(kinds.SERVICE)
    await shifting.rest(10)
    assert "digits-w2" not in shifting.kube.names(kinds.SERVICE)


async def test_r18_route_of_ours_goes_although_the_first_version_needs_no_other() -> None:
    """Breaks if the first rollout never ends, waiting for a route that nobody writes any more; found by the simulation."""
    operator = Adopting()
    operator.edit(traffic={"gateway": {"parentRefs": [{"name": "gateway"}]}})
    while "digits" not in operator.kube.names(kinds.HTTP_ROUTE):
        await operator.turn()
    operator.edit(traffic={"gateway": {"mode": "Adopted", "routeRef": {"name": ROUTE}}})
    operator.roll_out()
    await operator.rest(90)
    assert (operator.status["phase"], operator.status["stable"]["version"]) == ("Stable", "v2")
    assert operator.kube.names(kinds.HTTP_ROUTE) == [ROUTE]
    assert operator.restored


async def test_r18_version_that_has_the_service_keeps_it_when_a_route_comes_back(stable: Adopting) -> None:
    """Breaks if the Service goes back to the stable version behind a rule that sends all to it; found by the simulation."""

    def selected() -> str:
        found: str = stable.kube.peek(kinds.SERVICE, "digits")["spec"]["selector"]["luntra.io/workload"]
        return found

    stable.edit(traffic=None, rollout={"soak": "4s"}, model=model("v2"), serving={"runtime": {"deadline": "500ms"}})
    while selected() != "digits-w2":
        await stable.rest(0.5)
    stable.edit(traffic={"gateway": {"mode": "Adopted", "routeRef": {"name": ROUTE}}})
    while stable.status["phase"] != "Stable":
        await stable.rest(0.5)
        assert selected() == "digits-w2"
    await stable.rest(20)
    assert stable.served == [{"digits-w1": 100}, {"digits-w2": 100}]
    assert stable.restored
