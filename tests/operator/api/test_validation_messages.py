"""A bad spec is refused with words that name the field, its value and what to do."""

from typing import Any

import pytest

from luntra_operator.api.base import ApiModel
from luntra_operator.api.traffic import (
    GatewayTraffic,
    GrpcTraffic,
    IstioTraffic,
    Preview,
    Probe,
    RouteReference,
    Session,
    Traffic,
)
from luntra_operator.api.validation import InvalidSpecError, parse_spec
from tests.operator.api import traffic_rules

DIGEST = "sha256:" + "a" * 64
MODEL = {"version": "v1", "uri": "https://models.example/v1", "digest": DIGEST}
GATEWAY = {"gateway": {"parentRefs": [{"name": "gateway"}]}}
ISTIO = traffic_rules.ISTIO


def refusal(spec: dict[str, Any]) -> str:
    with pytest.raises(InvalidSpecError) as raised:
        parse_spec({"model": MODEL, **spec})
    return str(raised.value)


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({"color": "blue"}, "spec.color is not a known field; remove it or check its spelling"),
        ({"model": {"version": "v1", "uri": "https://x.example/y"}}, "spec.model.digest is missing; add it"),
        (
            {"model": {**MODEL, "uri": "s3://bucket/model"}},
            "spec.model.uri: 's3://bucket/model' is refused: it must start",
        ),
        ({"model": {**MODEL, "digest": "sha256:abc"}}, "spec.model.digest: 'sha256:abc' is refused"),
        ({"replicas": -1}, "spec.replicas: -1 is refused"),
        ({"rollout": {"soak": "5 minutes"}}, "spec.rollout.soak: '5 minutes' is refused"),
        (
            {"traffic": GATEWAY, "rollout": {"steps": [{"weight": 101}]}},
            "spec.rollout.steps[0].weight: 101 is refused: Input should be less than or equal to 99",
        ),
        (
            {"traffic": GATEWAY, "rollout": {"steps": [{"weight": 50}, {"weight": 25}]}},
            "spec.rollout: steps[1].weight: 25 does not exceed the step before (50); let weights increase",
        ),
        ({"rollout": {"steps": [{"weight": 50}]}}, "rollout.steps needs traffic.gateway or traffic.istio"),
        ({"traffic": {"session": {"header": "x session"}}}, "spec.traffic.session.header: 'x session' is refused"),
        (
            {"traffic": {"gateway": {**GATEWAY["gateway"], "preview": {"header": {"name": "x:y", "value": "a"}}}}},
            "spec.traffic.gateway.preview.header.name: 'x:y' is refused",
        ),
        (
            {"traffic": {"gateway": {**GATEWAY["gateway"], "preview": {"header": {"name": "x", "value": " a"}}}}},
            "spec.traffic.gateway.preview.header.value: ' a' is refused",
        ),
        ({"traffic": {"session": {"header": ""}}}, "spec.traffic.session.header: '' is refused"),
        ({"traffic": {"gateway": {"parentRefs": []}}}, "spec.traffic.gateway.parentRefs: "),
        ({"traffic": {"istio": {**ISTIO, "hosts": ["digits"]}}}, "spec.traffic.istio.hosts[0]: 'digits' is refused"),
        (
            {"traffic": {"gateway": {"parentRefs": [{"name": "g"}], "hostnames": ["Not A Host"]}}},
            "spec.traffic.gateway.hostnames[0]: 'Not A Host' is refused",
        ),
        (
            {"traffic": {"gateway": {"parentRefs": [{"name": "g"}], "grpc": {"hostnames": []}}}},
            "gateway.grpc.hostnames: ",
        ),
        ({"serving": {"resources": {"limits": {"cpu": -1}}}}, "spec.serving.resources.limits.cpu"),
        ({"serving": {"resources": {"limits": {"cpu": "1e999999999"}}}}, "spec.serving.resources.limits.cpu"),
        (
            {
                "rollout": {
                    "checks": {"evaluation": {"dataset": {"uri": "file:///x.npz", "digest": DIGEST}, "metric": "f1"}}
                }
            },
            "evaluation by f1 has no bound: give min, maxRegression or both",
        ),
        ({"rollout": {"checks": {"benchmark": {"timeout": "0s"}}}}, "timeout is 0s: give a duration above 0s"),
    ],
)
def test_problem_names_field_value_and_fix(spec: dict[str, Any], told: str) -> None:
    assert told in refusal(spec)


@pytest.mark.parametrize(("traffic", "section", "value", "told", "_rule"), traffic_rules.ROWS)
def test_rule_of_the_traffic_names_field_value_and_fix(
    traffic: dict[str, Any], section: str, value: str, told: str, _rule: str
) -> None:
    message = refusal({"traffic": traffic})
    assert message.startswith(section)
    assert value in message
    assert told in message


@pytest.mark.parametrize(
    "model", [Traffic, GatewayTraffic, IstioTraffic, GrpcTraffic, Preview, Session, Probe, RouteReference]
)
def test_every_rule_of_the_traffic_has_its_row(model: type[ApiModel]) -> None:
    """Breaks if a rule is added that no row tries, here and at the API server."""
    tried = [rule for *_, rule in traffic_rules.ROWS]
    assert [rule for rule, *_ in model.cel_rules if not any(rule.startswith(one) for one in tried)] == []


def test_all_problems_are_told_at_once() -> None:
    message = refusal({"replicas": -1, "color": "blue"})
    assert "spec.replicas" in message
    assert "spec.color" in message


def test_defaults_are_those_that_the_descriptions_promise() -> None:
    spec = parse_spec({"model": MODEL})
    assert (spec.replicas, spec.soak, spec.ready_deadline, spec.step_deadline) == (1, 300, 600, 300)
    assert (spec.steps, spec.paused, spec.gateway) == ([], False, None)
