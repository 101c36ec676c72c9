"""Endpoints of a ModelDeployment `digits` for the tests of traffic."""

import copy
from typing import Any

from luntra_operator.api.validation import parse_spec
from luntra_operator.traffic.provider import Endpoint
from luntra_operator.workloads.naming import metadata
from tests.operator.controller.in_memory import model

Object = dict[str, Any]

HTTP: Object = {"gateway": {"parentRefs": [{"name": "gateway"}], "hostnames": ["digits.example"]}}
GRPC: Object = {"gateway": {**HTTP["gateway"], "grpc": {"hostnames": ["grpc.digits.example"]}}}


def endpoint(
    traffic: Object | None, uid: str = "u1", services: tuple[Object, ...] = (), adopted: tuple[str, ...] = ()
) -> Endpoint:
    """What a provider is told where `spec.traffic` says so."""
    owner = {"metadata": {"name": "digits", "namespace": "team-a", "uid": uid}}
    spec = parse_spec({"model": model("v1"), **({"traffic": traffic} if traffic else {})})
    return Endpoint(metadata(owner, "digits"), spec, services, adopted=adopted)


def selecting(workload: str) -> Object:
    """The Service <name>."""
    return {"metadata": {"name": "digits"}, "spec": {"selector": {"luntra.io/workload": workload}}}


def service(name: str, *ports: int) -> Object:
    """A live Service with these ports."""
    return {"metadata": {"name": name}, "spec": {"ports": [{"port": port} for port in ports]}}


def applied(body: Object, operations: list[Object]) -> Object:
    """The body after a JSON Patch (only what our patches use of RFC 6902)."""
    result = copy.deepcopy(body)
    for operation in operations:
        *parents, last = [part.replace("~1", "/") for part in operation["path"].split("/")[1:]]
        target: Any = result
        for part in parents:
            target = target[int(part)] if isinstance(target, list) else target[part]
        if operation["op"] == "test":
            assert target[last] == operation["value"]
            continue
        assert operation["op"] == "add"
        target[last] = operation["value"]
    return result
