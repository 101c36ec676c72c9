"""The generated CRD on a real API server: accepted as it is, and bad objects get an error that names the field and the fix."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.kind.control_plane import Answer, ApiServer
from tests.operator.api import traffic_rules

DIGEST = "sha256:" + "a" * 64


def model_deployment(**spec: Any) -> dict[str, Any]:
    model = {"version": "v1", "uri": "https://models.example/digits", "digest": DIGEST}
    return {
        "apiVersion": "luntra.io/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": "digits"},
        "spec": {"model": model, "replicas": 1, **spec},
    }


def refusal(api_server: ApiServer, namespace: str, body: dict[str, Any]) -> str:
    path = f"/apis/luntra.io/v1alpha1/namespaces/{namespace}/modeldeployments?fieldValidation=Strict"
    with pytest.raises(Answer) as answer:
        api_server.request("POST", path, body)
    message: str = answer.value.body["message"]
    return message


GATEWAY = {"gateway": {"parentRefs": [{"name": "gateway"}]}}


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({"color": "blue"}, 'unknown field "spec.color"'),
        (
            {"traffic": GATEWAY, "rollout": {"steps": [{"weight": 101}]}},
            "spec.rollout.steps[0].weight: Invalid value: 101: spec.rollout.steps[0].weight in body should be less than or equal to 99",
        ),
        (
            {"traffic": GATEWAY, "rollout": {"steps": [{"weight": 50}, {"weight": 25}]}},
            "weights must increase from step to step, e.g. 5, 25, 50; 100 is implied at the end",
        ),
        (
            {"traffic": GATEWAY, "rollout": {"steps": [{"weight": 50}, {"weight": 50}]}},
            "weights must increase from step to step",
        ),
        ({"rollout": {"steps": [{"weight": 50}]}}, "rollout.steps needs traffic.gateway or traffic.istio"),
        ({"traffic": {"istio": {"gateways": ["a/b"], "hosts": ["digits"]}}}, "spec.traffic.istio.hosts[0]"),
        ({"model": {"version": "v1", "uri": "https://models.example/digits"}}, "spec.model.digest: Required value"),
        ({"model": {"version": "v1", "uri": "https://x.example/y", "digest": "sha256:abc"}}, "spec.model.digest"),
        (
            {"model": {"version": "v1", "uri": "s3://bucket/digits", "digest": DIGEST}},
            "uri must start with https:// or file:///; other schemes (s3, oci, hf, ...) are not supported yet",
        ),
        ({"traffic": {"session": {"header": "x session"}}}, "spec.traffic.session.header"),
        ({"replicas": -1}, "spec.replicas"),
        ({"rollout": {"soak": "5 minutes"}}, "spec.rollout.soak"),
        ({"serving": {"resources": {"limits": {"memory": "lots"}}}}, "spec.serving.resources.limits.memory"),
        (
            {
                "rollout": {
                    "checks": {
                        "evaluation": {"dataset": {"uri": "file:///x.npz", "digest": DIGEST}, "metric": "accuracy"}
                    }
                }
            },
            "evaluation needs a bound: give min (accuracy, f1), max (mae, rmse) or maxRegression",
        ),
        (
            {"rollout": {"checks": {"benchmark": {"maxP50Ratio": 1.3}}}},
            "maxP50Ratio, maxP99Ratio and minThroughputRatio need rate",
        ),
        (
            {"rollout": {"checks": {"benchmark": {"rate": 50, "maxP99Ratio": 2, "requests": 19}}}},
            "with a relative bound, requests must be at least 20",
        ),
        (
            {"rollout": {"checks": {"benchmark": {"rate": 50, "minThroughput": 45.5}}}},
            "minThroughput must be at most nine tenths of rate",
        ),
        (
            {"rollout": {"checks": {"benchmark": {"rate": 3, "maxP50Ratio": 1.3}}}},
            "requests take longer at this rate than timeout allows",
        ),
        ({"rollout": {"checks": {"benchmark": {"rate": 1, "timeout": "9m"}}}}, "requests take longer at this rate"),
        ({"rollout": {"checks": {"benchmark": {"retries": 6}}}}, "spec.rollout.checks.benchmark.retries"),
        ({"rollout": {"checks": {"benchmark": {"timeout": "0s"}}}}, "timeout must be above 0s and at most 24h"),
    ],
)
def test_bad_object_is_refused_with_the_field_and_the_fix(
    model_deployment_crd: None, api_server: ApiServer, namespace: str, spec: dict[str, Any], told: str
) -> None:
    assert told in refusal(api_server, namespace, model_deployment(**spec))


@pytest.mark.parametrize(("traffic", "section", "_value", "told", "_rule"), traffic_rules.ROWS)
def test_rule_of_the_traffic_names_field_value_and_fix(
    model_deployment_crd: None,
    api_server: ApiServer,
    namespace: str,
    traffic: dict[str, Any],
    section: str,
    _value: str,
    told: str,
    _rule: str,
) -> None:
    message = refusal(api_server, namespace, model_deployment(traffic=traffic))
    assert f"{section}: Invalid value" in message
    assert told in message


@pytest.mark.parametrize("name", ["9lives", "a" * 41, "Digits.v2"])
def test_name_that_could_not_name_a_service_is_refused(
    model_deployment_crd: None, api_server: ApiServer, namespace: str, name: str
) -> None:
    body = model_deployment()
    body["metadata"]["name"] = name
    told = refusal(api_server, namespace, body)
    assert "metadata.name" in told


def test_public_name_of_the_model_cannot_be_changed(
    model_deployment_crd: None, api_server: ApiServer, namespace: str, kubectl: Path
) -> None:
    path = f"/apis/luntra.io/v1alpha1/namespaces/{namespace}/modeldeployments"
    created = api_server.request("POST", path, model_deployment())
    created["spec"]["model"]["name"] = "letters"
    with pytest.raises(Answer) as answer:
        api_server.request("PUT", f"{path}/digits", created)
    assert "model.name cannot be changed" in answer.value.body["message"]


def test_kubectl_shows_phase_and_scales_by_the_short_name(
    model_deployment_crd: None, api_server: ApiServer, namespace: str, kubectl: Path
) -> None:
    def run(*words: str, given: str | None = None) -> str:
        command: list[str | Path] = [kubectl, "--kubeconfig", api_server.kubeconfig, "-n", namespace, *words]
        return subprocess.run(command, input=given, capture_output=True, text=True, check=True).stdout

    run("apply", "-f", "-", given=json.dumps(model_deployment()))
    assert run("get", "md").split()[:6] == ["NAME", "PHASE", "STABLE", "CANDIDATE", "WEIGHT", "READY"]
    run("scale", "md/digits", "--replicas=3")
    assert yaml.safe_load(run("get", "md/digits", "-o", "yaml"))["spec"]["replicas"] == 3
    assert "digits" in run("get", "luntra")
