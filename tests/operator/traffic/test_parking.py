"""Routes of the Gateway API lose their requests before they are deleted: what is written, and that it can be undone."""

import copy
from typing import Any

import pytest

from luntra_operator.api.kinds import GRPC_ROUTE, HTTP_ROUTE, Kind
from luntra_operator.traffic import parking
from tests.operator.traffic.endpoints import applied

Object = dict[str, Any]
HEADER = {"type": "Exact", "name": "x-luntra-parked", "value": "true"}


def route(*hostnames: str, rules: list[Object] | None = None, kind: Kind = HTTP_ROUTE, name: str = "digits") -> Object:
    backends = [{"name": "digits-w1", "port": 8080, "weight": 70}, {"name": "digits-w2", "port": 8080, "weight": 30}]
    spec: Object = {"rules": [{"backendRefs": backends}] if rules is None else rules}
    if hostnames:
        spec["hostnames"] = list(hostnames)
    return {"kind": kind.kind, "metadata": {"name": name, "namespace": "team-a"}, "spec": spec}


def parked(body: Object) -> Object:
    spec: Object = applied(body, parking.parked(body, body["kind"]))["spec"]
    return spec


def hosts(*hostnames: str) -> list[str]:
    """The parked hosts, without what differs from route to route."""
    found: list[str] = parked(route(*hostnames))["hostnames"]
    return ["*." + host.partition(".")[2] for host in found if host.startswith("luntra-parked-")]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (["digits.example.com"], ["*.example.com"]),
        (["*.example.com"], ["*.example.com"]),
        (["digits.a.example", "other.b.example"], ["*.a.example", "*.b.example"]),
        (["digits.a.example", "other.a.example", "*.a.example"], ["*.a.example"]),
        (["localhost"], ["*.invalid"]),
        ([f"a.{'b' * 60}.{'c' * 60}.{'d' * 60}.{'e' * 63}"], ["*.invalid"]),
    ],
)
def test_hosts_give_way_to_others_in_the_same_domains(before: list[str], after: list[str]) -> None:
    """Breaks if a listener for *.example.com would drop the route, and its backends, because of its hosts."""
    assert hosts(*before) == after
    assert all(len(host) <= 253 for host in parked(route(*before))["hostnames"])


def test_backends_and_matches_stay() -> None:
    """Breaks if the gateway forgets a backend with the write that takes the requests."""
    body = route("digits.example.com")
    assert parked(body)["rules"] == body["spec"]["rules"]


def test_parked_routes_do_not_meet() -> None:
    """Breaks if one of two routes is refused for having the other one's host and matches."""
    one, two = route("a.example.com"), route("b.example.com", name="letters")
    grpc = route("a.example.com", kind=GRPC_ROUTE)
    elsewhere = copy.deepcopy(one)
    elsewhere["metadata"]["namespace"] = "team-b"
    assert len({parked(body)["hostnames"][0] for body in (one, two, grpc, elsewhere)}) == 4


def test_route_for_all_hosts_asks_for_a_header_in_every_rule() -> None:
    path = {"path": {"type": "PathPrefix", "value": "/v2/models/digits"}}
    tenant = {"type": "Exact", "name": "x-tenant", "value": "a"}
    rules: list[Object] = [
        {"matches": [path, {"headers": [tenant]}], "backendRefs": [{"name": "digits-w1"}]},
        {"backendRefs": [{"name": "docs"}]},
    ]
    body = route(rules=rules)
    assert parked(body) == {
        "rules": [
            {**rules[0], "matches": [{**path, "headers": [HEADER]}, {"headers": [tenant, HEADER]}]},
            {**rules[1], "matches": [{"headers": [HEADER]}]},
        ]
    }


def test_header_is_taken_out_again() -> None:
    path = {"path": {"type": "PathPrefix", "value": "/v2/models/digits"}}
    body = route(rules=[{"matches": [path], "backendRefs": [{"name": "digits-w1"}]}])
    assert parking.revived(body) == []
    asleep = {**body, "spec": parked(body)}
    assert applied(asleep, parking.revived(asleep)) == body


def test_match_that_has_all_the_headers_it_may_have_stays() -> None:
    """Breaks if the API server would refuse the write for ever, and the route never went."""
    full = {"headers": [{"name": f"x-{number}", "value": "y"} for number in range(16)]}
    assert parked(route(rules=[{"matches": [full]}]))["rules"] == [{"matches": [full]}]


def test_route_without_rules_needs_no_parking() -> None:
    assert parking.parked(route("digits.example.com", rules=[]), "HTTPRoute") == []
