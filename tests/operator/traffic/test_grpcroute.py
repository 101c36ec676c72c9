"""The GRPCRoute beside the HTTPRoute: what is built, and workloads that were made without a port for gRPC."""

from typing import Any

import pytest

from luntra_operator.traffic.grpcroute import OwnedGrpcRoute
from luntra_operator.traffic.provider import Create
from tests.operator.traffic.endpoints import GRPC, endpoint, service

ROUTE = OwnedGrpcRoute()
MATCHES = [{"method": {"type": "Exact", "service": "team.Prices", "method": "Ask"}}]


def content(**grpc: Any) -> dict[str, Any]:
    gateway = GRPC["gateway"]
    return ROUTE.content(endpoint({"gateway": {**gateway, "grpc": {**gateway["grpc"], **grpc}}}))


def test_new_route_takes_every_request_of_its_hosts_to_the_grpc_port() -> None:
    (write,) = ROUTE.write(endpoint(GRPC), {}, {"digits-w1": 90, "digits-w2": 10}, "2/abc/10", "Keep")
    assert isinstance(write, Create)
    assert write.body["metadata"]["name"] == "digits.grpc"
    assert (write.body["apiVersion"], write.body["kind"]) == ("gateway.networking.k8s.io/v1", "GRPCRoute")
    assert write.body["spec"] == {
        "parentRefs": [{"name": "gateway"}],
        "hostnames": ["grpc.digits.example"],
        "rules": [
            {
                "matches": [],
                "backendRefs": [
                    {"group": "", "kind": "Service", "name": "digits-w1", "port": 8081, "weight": 90},
                    {"group": "", "kind": "Service", "name": "digits-w2", "port": 8081, "weight": 10},
                ],
            }
        ],
    }
    assert write.body["metadata"]["annotations"]["luntra.io/intent"] == "2/abc/10"


def test_matches_of_the_spec_narrow_what_is_taken() -> None:
    assert content(matches=MATCHES)["matches"] == MATCHES


@pytest.mark.parametrize(("before", "after"), [({}, {"matches": MATCHES}), ({"matches": MATCHES}, {})])
def test_r18_everything_and_something_are_everything_together(before: dict[str, Any], after: dict[str, Any]) -> None:
    """Breaks if no match counts as nothing: requests would be refused between the two frames."""
    body = ROUTE.build({"name": "digits", "resourceVersion": "1"}, content(**before), {"digits-w1": 100}, "1/abc/100")
    operations = ROUTE.patch(body, frozenset(), content(**after), {"digits-w1": 100}, "1/abc/100", "Widen")
    assert {"op": "add", "path": "/spec/rules/0/matches", "value": []} in operations


def test_hosts_and_gateways_of_the_spec_change_the_frame_and_those_of_http_do_not() -> None:
    frames = {
        ROUTE.frame(endpoint({"gateway": {**GRPC["gateway"], **change}}))
        for change in (
            {},
            {"hostnames": ["other.example"]},
            {"grpc": {"hostnames": ["a.example"]}},
            {"parentRefs": [{"name": "b"}]},
        )
    }
    assert len(frames) == 3


def test_workload_without_a_port_for_grpc_postpones_the_route() -> None:
    """Breaks if a route would name a port that the Service of an old workload does not have: it would never be accepted."""
    old = endpoint(GRPC, services=(service("digits-w1", 8080), service("digits-w2", 8080, 8081)))
    assert not ROUTE.wanted(old)
    told = ROUTE.postponed(old)
    assert told
    assert told.reason == "GRPCNotServed"
    assert "digits-w1 was made by an operator that gave it no port for gRPC" in told.message
    fresh = endpoint(GRPC, services=(service("digits", 8080), service("digits-w2", 8080, 8081)))
    assert (ROUTE.wanted(fresh), ROUTE.postponed(fresh)) == (True, None)
    unasked = endpoint({"gateway": {"parentRefs": [{"name": "gateway"}]}}, services=(service("digits-w1", 8080),))
    assert (ROUTE.wanted(unasked), ROUTE.postponed(unasked)) == (False, None)
