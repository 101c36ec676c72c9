"""The GRPCRoute beside the HTTPRoute: what is built, and workloads that were made without a port for gRPC."""

from typing import Any

from luntra_operator.traffic.grpcroute import OwnedGrpcRoute
from luntra_operator.traffic.provider import Create
from tests.operator.traffic.endpoints import GRPC, endpoint, service

ROUTE = OwnedGrpcRoute()


def content(**grpc: Any) -> dict[str, Any]:
    gateway = GRPC["gateway"]
    return ROUTE.content(endpoint({"gateway": {**gateway, "grpc": {**gateway["grpc"], **grpc}}}))


def test_new_route_takes_the_inference_service_on_its_own_hosts_to_the_grpc_port() -> None:
    (write,) = ROUTE.write(endpoint(GRPC), {}, {"digits-w1": 90, "digits-w2": 10}, "2/abc/10", "Keep")
    assert isinstance(write, Create)
    assert (write.body["apiVersion"], write.body["kind"]) == ("gateway.networking.k8s.io/v1", "GRPCRoute")
    assert write.body["spec"] == {
        "parentRefs": [{"name": "gateway"}],
        "hostnames": ["grpc.digits.example"],
        "rules": [
            {
                "matches": [{"method": {"type": "Exact", "service": "inference.GRPCInferenceService"}}],
                "backendRefs": [
                    {"group": "", "kind": "Service", "name": "digits-w1", "port": 8081, "weight": 90},
                    {"group": "", "kind": "Service", "name": "digits-w2", "port": 8081, "weight": 10},
                ],
            }
        ],
    }
    assert write.body["metadata"]["annotations"]["luntra.io/intent"] == "2/abc/10"


def test_matches_of_the_spec_replace_the_inference_service() -> None:
    matches = [{"method": {"type": "Exact", "service": "team.Prices"}}]
    assert content(matches=matches)["matches"] == matches


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
