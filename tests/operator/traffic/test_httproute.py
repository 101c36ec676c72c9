"""The HTTPRoute that Luntra owns: built once, then patched so that what others added survives byte for byte."""

import copy
import json
from typing import Any, Literal

import pytest

from luntra_operator.api.traffic import GatewayTraffic
from luntra_operator.traffic import httproute
from luntra_operator.traffic.owned import frame_hash
from tests.operator.traffic.endpoints import applied

Object = dict[str, Any]
OURS = frozenset({"digits-w1", "digits-w2"})
GATEWAY = GatewayTraffic.model_validate(
    {"parentRefs": [{"name": "gateway", "namespace": "infra", "sectionName": "http"}], "hostnames": ["digits.example"]}
)
ROUTE = httproute.OwnedHttpRoute()
FRAME = httproute.frame(GATEWAY, "digits")


def route(weights: dict[str, int] | None = None, **metadata: Any) -> Object:
    """A route as the API server has it, with what others have added to it."""
    body = ROUTE.build({"name": "digits"}, copy.deepcopy(FRAME), weights or {"digits-w1": 100}, "1/abc/100")
    body["metadata"] |= {"resourceVersion": "7", "generation": 3, **metadata}
    return body


def crowded() -> Object:
    """A route to which somebody has added rules, filters, a mirror, a backend, labels and annotations."""
    body = route({"digits-w1": 70, "digits-w2": 30}, labels={"team": "a"})
    body["metadata"]["annotations"]["other.example/note"] = "keep"
    ours = body["spec"]["rules"][0]
    ours["name"] = "inference"
    ours["timeouts"] = {"request": "3s"}
    ours["filters"] = [
        {"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "x", "value": "y"}]}}
    ]
    ours["backendRefs"].insert(1, {"name": "shadow", "port": 80, "weight": 0})
    ours["backendRefs"][0]["filters"] = [{"type": "ExtensionRef"}]
    body["spec"]["rules"].insert(
        0, {"matches": [{"path": {"value": "/docs"}}], "backendRefs": [{"name": "docs", "port": 80}]}
    )
    return body


def patched(
    body: Object,
    weights: dict[str, int],
    content: Object = FRAME,
    intent: str = "2/def/30",
    change: Literal["Keep", "Widen", "Replace"] = "Keep",
) -> Object:
    """The body after the JSON Patch that is made for it."""
    return applied(body, ROUTE.patch(body, OURS, content, weights, intent, change))


def test_new_route_has_one_rule_with_weighted_backends_and_the_intent() -> None:
    body = ROUTE.build({"name": "digits"}, FRAME, {"digits-w1": 90, "digits-w2": 10}, "2/abc/10")
    assert body["spec"]["parentRefs"] == [{"name": "gateway", "namespace": "infra", "sectionName": "http"}]
    assert body["spec"]["hostnames"] == ["digits.example"]
    (rule,) = body["spec"]["rules"]
    assert rule["matches"] == [{"path": {"type": "PathPrefix", "value": "/v2/models/digits"}}]
    assert rule["backendRefs"] == [
        {"group": "", "kind": "Service", "name": "digits-w1", "port": 8080, "weight": 90},
        {"group": "", "kind": "Service", "name": "digits-w2", "port": 8080, "weight": 10},
    ]
    annotations = body["metadata"]["annotations"]
    assert annotations == {"luntra.io/intent": "2/abc/10", "luntra.io/frame": frame_hash(FRAME)}


def test_route_without_hostnames_answers_for_all() -> None:
    content = httproute.frame(GATEWAY.model_copy(update={"hostnames": None}), "digits")
    assert "hostnames" not in ROUTE.build({"name": "digits"}, content, {"digits-w1": 100}, "i")["spec"]


def test_matches_of_the_spec_replace_the_default_path() -> None:
    matches = [{"headers": [{"name": "x-tenant", "value": "a"}]}]
    assert httproute.frame(GATEWAY.model_copy(update={"matches": matches}), "digits")["matches"] == matches


def test_patch_tests_the_resource_version_first() -> None:
    first = ROUTE.patch(route(), OURS, FRAME, {"digits-w1": 100}, "i")[0]
    assert first == {"op": "test", "path": "/metadata/resourceVersion", "value": "7"}


def test_r9_patch_changes_weights_and_intent_and_nothing_else() -> None:
    """Breaks if a list of the route is written from memory instead of what is there."""
    before = crowded()
    after = patched(before, {"digits-w1": 40, "digits-w2": 60}, intent="2/def/60")
    refs = after["spec"]["rules"][1]["backendRefs"]
    assert [(ref["name"], ref["weight"]) for ref in refs] == [("digits-w1", 40), ("shadow", 0), ("digits-w2", 60)]
    assert after["metadata"]["annotations"]["luntra.io/intent"] == "2/def/60"
    expected = crowded()
    expected["metadata"]["annotations"]["luntra.io/intent"] = "2/def/60"
    for ref, weight in ((0, 40), (2, 60)):
        expected["spec"]["rules"][1]["backendRefs"][ref]["weight"] = weight
    assert json.dumps(after, sort_keys=True) == json.dumps(expected, sort_keys=True)


def test_r9_removed_and_added_backends_leave_foreign_ones_in_place() -> None:
    """Breaks if backends are replaced as a whole."""
    after = patched(crowded(), {"digits-w2": 100})
    assert [ref["name"] for ref in after["spec"]["rules"][1]["backendRefs"]] == ["shadow", "digits-w2"]
    again = patched(after, {"digits-w2": 90, "digits-w1": 10})
    names = [(ref["name"], ref["weight"]) for ref in again["spec"]["rules"][1]["backendRefs"]]
    assert names == [("shadow", 0), ("digits-w2", 90), ("digits-w1", 10)]


@pytest.mark.parametrize("rules", [None, [], [{"backendRefs": [{"name": "docs"}]}], [{"matches": []}]])
def test_rule_that_somebody_removed_is_added_again_behind_the_others(rules: Any) -> None:
    body = route()
    body["spec"]["rules"] = rules
    after = patched(body, {"digits-w1": 100})["spec"]["rules"]
    assert after[:-1] == (rules or [])
    assert [ref["name"] for ref in after[-1]["backendRefs"]] == ["digits-w1"]
    assert after[-1]["matches"] == FRAME["matches"]


def test_backends_emptied_by_somebody_come_back() -> None:
    body = route()
    body["spec"]["rules"][0]["backendRefs"] = []
    body["spec"]["rules"][0]["timeouts"] = {"request": "3s"}
    after = patched(body, {"digits-w1": 100})
    # In the rule that was there: a second one with the same matches would never get a request.
    assert len(after["spec"]["rules"]) == 1
    assert after["spec"]["rules"][0]["timeouts"] == {"request": "3s"}
    assert ROUTE.state(after, OURS).weights == {"digits-w1": 100}


def test_missing_annotations_are_no_obstacle() -> None:
    body = route()
    del body["metadata"]["annotations"]
    assert ROUTE.state(body, OURS).intent is None
    assert ROUTE.state(patched(body, {"digits-w1": 100}), OURS).intent == "2/def/30"


def test_frame_is_written_when_the_spec_changes_it_and_only_then() -> None:
    moved = httproute.frame(GATEWAY.model_copy(update={"hostnames": ["new.example"]}), "prices")
    after = patched(crowded(), {"digits-w1": 70, "digits-w2": 30}, moved, change="Replace")
    assert after["spec"]["hostnames"] == ["new.example"]
    assert after["spec"]["rules"][1]["matches"][0]["path"]["value"] == "/v2/models/prices"
    assert after["spec"]["rules"][0] == crowded()["spec"]["rules"][0]
    assert after["metadata"]["annotations"]["luntra.io/frame"] == frame_hash(moved)
    edited = crowded()
    edited["spec"]["hostnames"].append("mine.example")
    kept = patched(edited, {"digits-w1": 70, "digits-w2": 30})
    assert kept["spec"]["hostnames"] == ["digits.example", "mine.example"]


def test_r18_new_frame_is_added_before_the_old_one_goes() -> None:
    """Breaks if the new frame replaces the old one at once, or a weight written meanwhile drops one of them."""
    other = GATEWAY.model_validate({"parentRefs": [{"name": "new-gateway"}], "hostnames": ["new.example"]})
    moved = httproute.frame(other, "prices")
    before = crowded()
    both = patched(before, {"digits-w1": 70, "digits-w2": 30}, moved, change="Widen")
    assert [ref["name"] for ref in both["spec"]["parentRefs"]] == ["new-gateway", "gateway"]
    assert both["spec"]["hostnames"] == ["new.example", "digits.example"]
    paths = [match["path"]["value"] for match in both["spec"]["rules"][1]["matches"]]
    assert paths == ["/v2/models/prices", "/v2/models/digits"]
    state = ROUTE.state(both, OURS)
    assert (state.frame, state.widened) == (frame_hash(moved), True)
    kept = patched(both, {"digits-w1": 0, "digits-w2": 100}, moved)
    assert kept["spec"]["hostnames"] == ["new.example", "digits.example"]
    assert ROUTE.state(kept, OURS).widened
    alone = patched(kept, {"digits-w2": 100}, moved, change="Replace")
    assert [ref["name"] for ref in alone["spec"]["parentRefs"]] == ["new-gateway"]
    assert alone["spec"]["hostnames"] == ["new.example"]
    state = ROUTE.state(alone, OURS)
    assert (state.frame, state.widened) == (frame_hash(moved), False)
    assert alone["spec"]["rules"][0] == before["spec"]["rules"][0]


def test_listener_of_the_same_gateway_is_replaced_in_one_go() -> None:
    """The API refuses two references to one Gateway of which one names no listener."""
    ref = {"name": "gateway", "namespace": "infra", "sectionName": "https"}
    moved = httproute.frame(GATEWAY.model_validate({"parentRefs": [ref], "hostnames": ["digits.example"]}), "digits")
    assert patched(route(), {"digits-w1": 100}, moved, change="Widen")["spec"]["parentRefs"] == [ref]


def test_every_host_and_some_hosts_are_every_host_together() -> None:
    anyone = httproute.frame(GATEWAY.model_copy(update={"hostnames": None}), "digits")
    assert patched(route(), {"digits-w1": 100}, anyone, change="Widen")["spec"]["hostnames"] == []


def test_frames_that_do_not_fit_into_one_route_are_exchanged() -> None:
    many = httproute.frame(GATEWAY.model_copy(update={"hostnames": [f"h{i}.example" for i in range(16)]}), "digits")
    after = patched(route(), {"digits-w1": 100}, many, change="Widen")
    assert after["spec"]["hostnames"] == many["hostnames"]
    assert ROUTE.state(after, OURS).widened is False


def test_hash_of_a_frame_changes_with_each_part_of_it() -> None:
    hashes = {frame_hash({**FRAME, key: ["other"]}) for key in ("parentRefs", "hostnames", "matches")}
    assert len(hashes | {frame_hash(FRAME)}) == 4


def test_read_tells_our_weights_and_ignores_foreign_backends() -> None:
    state = ROUTE.state(crowded(), OURS)
    assert state.weights == {"digits-w1": 70, "digits-w2": 30}
    assert (state.intent, state.frame) == ("1/abc/100", frame_hash(FRAME))
    unweighted = route()
    del unweighted["spec"]["rules"][0]["backendRefs"][0]["weight"]
    assert ROUTE.state(unweighted, OURS).weights == {"digits-w1": 1}  # the Gateway API's default


def answered(generation: int = 3, **status: str) -> Object:
    conditions = [
        {
            "type": kind,
            "status": status.get(kind, "True"),
            "reason": "Because",
            "message": "words",
            "observedGeneration": generation,
        }
        for kind in ("Accepted", "ResolvedRefs")
    ]
    return {"parentRef": {"name": "gateway"}, "controllerName": "c", "conditions": conditions}


@pytest.mark.parametrize(
    ("parents", "current", "told"),
    [
        ([answered()], True, ""),
        ([answered(), answered()], True, ""),
        ([], False, "no gateway controller has answered for every parentRef"),
        ([answered(generation=2)], False, "the controller of Gateway gateway has not read the last write yet"),
        ([answered(Accepted="False")], False, "Accepted=False (Because): words"),
        ([answered(ResolvedRefs="False")], False, "ResolvedRefs=False (Because): words"),
        ([answered(), answered(Accepted="False")], False, "Accepted=False"),
        ([{"parentRef": {"name": "gateway"}, "conditions": []}], False, "has not read the last write yet"),
    ],
)
def test_route_is_in_force_when_every_parent_has_accepted_this_generation(
    parents: list[Object], current: bool, told: str
) -> None:
    body = route()
    if parents:
        body["status"] = {"parents": parents}
    state = ROUTE.state(body, OURS)
    assert state.current is current
    assert told in state.message


def test_second_parent_that_has_not_answered_keeps_the_route_from_being_in_force() -> None:
    body = route()
    body["spec"]["parentRefs"].append({"name": "other"})
    body["status"] = {"parents": [answered()]}
    assert not ROUTE.state(body, OURS).current
