"""The VirtualService that Luntra owns: built once, then patched so that what others added survives byte for byte."""

import copy
import json
from typing import Any, Literal

import pytest

from luntra_operator.api.traffic import IstioTraffic
from luntra_operator.traffic.owned import frame_hash
from luntra_operator.traffic.virtualservice import OwnedVirtualService, frame
from tests.operator.traffic.endpoints import applied

Object = dict[str, Any]
OURS = frozenset({"digits-w1", "digits-w2"})
ISTIO = IstioTraffic.model_validate({"gateways": ["infra/public"], "hosts": ["digits.example.com"]})
SERVICE = OwnedVirtualService()
FRAME = frame(ISTIO, "digits")


def service(weights: dict[str, int] | None = None) -> Object:
    """A VirtualService as the API server has it."""
    body = SERVICE.build({"name": "digits"}, copy.deepcopy(FRAME), weights or {"digits-w1": 100}, "1/abc/100")
    body["metadata"] |= {"resourceVersion": "7"}
    return body


def crowded() -> Object:
    """One to which somebody has added http routes, retries, a timeout, headers, a mirror, a destination and an annotation."""
    body = service({"digits-w1": 70, "digits-w2": 30})
    body["metadata"]["annotations"]["other.example/note"] = "keep"
    ours = body["spec"]["http"][0]
    ours |= {"timeout": "3s", "retries": {"attempts": 1}, "mirror": {"host": "shadow"}, "name": "inference"}
    ours["headers"] = {"request": {"set": {"x": "y"}}}
    ours["route"].insert(1, {"destination": {"host": "canary.other.svc.cluster.local"}, "weight": 0})
    ours["route"][0]["headers"] = {"response": {"remove": ["server"]}}
    body["spec"]["http"].insert(
        0, {"match": [{"uri": {"prefix": "/docs"}}], "route": [{"destination": {"host": "docs"}}]}
    )
    body["spec"]["tls"] = [{"match": [{"sniHosts": ["a.example"]}], "route": [{"destination": {"host": "docs"}}]}]
    return body


def patched(
    body: Object,
    weights: dict[str, int],
    content: Object = FRAME,
    intent: str = "2/def/30",
    change: Literal["Keep", "Widen", "Replace"] = "Keep",
) -> Object:
    """The body after the JSON Patch that is made for it."""
    return applied(body, SERVICE.patch(body, OURS, content, weights, intent, change))


def test_new_one_divides_the_models_own_paths_among_the_workloads_services() -> None:
    """Breaks if the path is a bare prefix: digits would take the requests of digits-2."""
    body = SERVICE.build({"name": "digits"}, FRAME, {"digits-w1": 90, "digits-w2": 10}, "2/abc/10")
    assert body["spec"] == {
        "gateways": ["infra/public"],
        "hosts": ["digits.example.com"],
        "http": [
            {
                "name": "luntra",
                "match": [{"uri": {"exact": "/v2/models/digits"}}, {"uri": {"prefix": "/v2/models/digits/"}}],
                "route": [
                    {"destination": {"host": "digits-w1", "port": {"number": 8080}}, "weight": 90},
                    {"destination": {"host": "digits-w2", "port": {"number": 8080}}, "weight": 10},
                ],
            }
        ],
    }
    marks = {"luntra.io/intent": "2/abc/10", "luntra.io/frame": frame_hash(FRAME)}
    assert body["metadata"]["annotations"] == marks


def test_matches_of_the_spec_replace_the_default_paths() -> None:
    matches = [{"headers": {"x-tenant": {"exact": "a"}}}]
    assert frame(ISTIO.model_copy(update={"matches": matches}), "digits")["match"] == matches


def test_r9_patch_changes_weights_and_intent_and_nothing_else() -> None:
    """Breaks if a list of the VirtualService is written from memory instead of what is there."""
    after = patched(crowded(), {"digits-w1": 40, "digits-w2": 60}, intent="2/def/60")
    expected = crowded()
    expected["metadata"]["annotations"]["luntra.io/intent"] = "2/def/60"
    for index, weight in ((0, 40), (2, 60)):
        expected["spec"]["http"][1]["route"][index]["weight"] = weight
    assert json.dumps(after) == json.dumps(expected)


def test_r9_removed_and_added_destinations_leave_foreign_ones_in_place() -> None:
    """Breaks if destinations are replaced as a whole."""
    after = patched(crowded(), {"digits-w2": 100})
    hosts = [one["destination"]["host"] for one in after["spec"]["http"][1]["route"]]
    assert hosts == ["canary.other.svc.cluster.local", "digits-w2"]
    again = patched(after, {"digits-w2": 90, "digits-w1": 10})
    assert SERVICE.weights(again, OURS) == {"digits-w2": 90, "digits-w1": 10}


@pytest.mark.parametrize(
    "http", [None, [], [{"route": [{"destination": {"host": "docs"}}]}], [{"redirect": {"uri": "/"}}]]
)
def test_http_route_that_somebody_removed_comes_back_in_front_of_the_others(http: Any) -> None:
    """Breaks if it is added behind: a catch-all there would get all its requests."""
    body = service()
    body["spec"]["http"] = http
    ours, *others = patched(body, {"digits-w1": 100})["spec"]["http"]
    assert others == (http or [])
    assert ours == service()["spec"]["http"][0]


def test_destinations_emptied_by_somebody_come_back_where_they_were() -> None:
    body = crowded()
    body["spec"]["http"][1]["route"] = []
    after = patched(body, {"digits-w1": 100})
    assert len(after["spec"]["http"]) == 2
    assert after["spec"]["http"][1]["timeout"] == "3s"
    assert SERVICE.weights(after, OURS) == {"digits-w1": 100}


def test_an_http_route_that_now_redirects_is_somebody_elses() -> None:
    body = service()
    del body["spec"]["http"][0]["route"]
    body["spec"]["http"][0]["redirect"] = {"uri": "/sorry"}
    after = patched(body, {"digits-w1": 100})
    assert [sorted(one) for one in after["spec"]["http"]] == [["match", "name", "route"], ["match", "name", "redirect"]]


@pytest.mark.parametrize(
    ("route", "weights"),
    [
        ([{"destination": {"host": "digits-w1"}}], {"digits-w1": 100}),
        (
            [{"destination": {"host": "digits-w1"}}, {"destination": {"host": "digits-w2"}, "weight": 5}],
            {"digits-w1": 0, "digits-w2": 5},
        ),
        ([{"destination": {"host": "other"}, "weight": 100}], {}),
    ],
)
def test_weights_are_read_as_istio_reads_them(route: list[Object], weights: dict[str, int]) -> None:
    body = service()
    body["spec"]["http"][0]["route"] = route
    assert SERVICE.weights(body, OURS) == weights


def test_r18_changed_frame_is_there_beside_the_old_one_before_it_replaces_it() -> None:
    """Breaks if a host or a Gateway is taken away in the write that adds the next one."""
    moved = frame(IstioTraffic.model_validate({"gateways": ["infra/next"], "hosts": ["next.example.com"]}), "digits")
    both = patched(crowded(), {"digits-w1": 70, "digits-w2": 30}, moved, change="Widen")
    assert both["spec"]["gateways"] == ["infra/next", "infra/public"]
    assert both["spec"]["hosts"] == ["next.example.com", "digits.example.com"]
    assert both["metadata"]["annotations"]["luntra.io/frame"] == frame_hash(moved) + "~"
    after = patched(both, {"digits-w1": 70, "digits-w2": 30}, moved, change="Replace")
    assert (after["spec"]["gateways"], after["spec"]["hosts"]) == (["infra/next"], ["next.example.com"])
    assert after["spec"]["http"][0] == crowded()["spec"]["http"][0]
    assert after["metadata"]["annotations"]["luntra.io/frame"] == frame_hash(moved)
