"""The Job of a check: what it is told, how it runs, and what it borrows from the model server's pod."""

import json
from typing import Any

import pytest

from luntra_operator.api.spec import ModelDeploymentSpec
from luntra_operator.api.validation import parse_spec
from luntra_operator.workloads.check_job import check_job

Object = dict[str, Any]
DIGEST = "sha256:" + "a" * 64
CHECKS = {
    "evaluation": {"dataset": {"uri": "file:///data/eval.npz", "digest": DIGEST}, "metric": "accuracy", "min": 0.9},
    "benchmark": {"requests": 10, "maxP99": "50ms", "timeout": "2m"},
}


def spec(pod_template: Object | None = None, **model: Any) -> ModelDeploymentSpec:
    return parse_spec(
        {
            "model": {"version": "v1", "uri": "https://models.example/v1", "digest": DIGEST, **model},
            "rollout": {"checks": CHECKS},
            **({"serving": {"podTemplate": pod_template}} if pod_template else {}),
        }
    )


def job(owner: Object, check: str = "benchmark", stable: str | None = "digits-w1", **fields: Any) -> Object:
    return check_job(owner, spec(**fields), check, "digits-w2", stable, "luntra/operator:1")


def configuration(body: Object) -> Object:
    found: Object = json.loads(body["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"])
    return found


def test_check_is_told_where_candidate_and_stable_are_and_what_is_declared(owner: Object) -> None:
    assert configuration(job(owner, "evaluation")) == {
        "kind": "evaluation",
        "model": "digits",
        "candidate": "http://digits-w2.team-a.svc:8080",
        "stable": "http://digits-w1.team-a.svc:8080",
        "evaluation": {**CHECKS["evaluation"], "batchSize": 32, "timeout": "5m"},
        "benchmark": {"requests": 10, "concurrency": 4, "maxP99": "50ms", "maxErrorRate": 0.0, "timeout": "2m"},
    }


def test_first_version_has_nothing_to_be_compared_with(owner: Object) -> None:
    assert configuration(job(owner, stable=None))["stable"] is None


def test_public_name_of_the_model_is_used(owner: Object) -> None:
    assert configuration(job(owner, name="prices"))["model"] == "prices"


def test_job_runs_the_operators_image_unprivileged_and_without_a_token(owner: Object) -> None:
    body = job(owner)
    pod = body["spec"]["template"]["spec"]
    container = pod["containers"][0]
    assert (container["image"], container["command"]) == ("luntra/operator:1", ["luntra-check"])
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert pod["restartPolicy"] == "Never"


def test_job_is_labelled_as_a_check_and_not_as_a_pod_of_the_workload(owner: Object) -> None:
    body = job(owner)
    assert body["metadata"]["name"] == "digits-w2-benchmark"
    labels = body["spec"]["template"]["metadata"]["labels"]
    assert (labels["luntra.io/check"], labels["luntra.io/role"]) == ("benchmark", "check")
    assert "luntra.io/workload" not in labels  # its Service would send users' requests here


def test_deadline_leaves_time_for_every_try(owner: Object) -> None:
    body = job(owner)
    tries = body["spec"]["backoffLimit"] + 1
    assert body["spec"]["activeDeadlineSeconds"] >= tries * 120


def test_check_borrows_volumes_and_pull_secrets_of_the_model_server(owner: Object) -> None:
    template = {
        "spec": {
            "imagePullSecrets": [{"name": "registry"}],
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
            "containers": [
                {"name": "server", "volumeMounts": [{"name": "data", "mountPath": "/data"}]},
                {"name": "sidecar", "volumeMounts": [{"name": "data", "mountPath": "/elsewhere"}]},
            ],
        }
    }
    pod = job(owner, pod_template=template)["spec"]["template"]["spec"]
    assert [volume["name"] for volume in pod["volumes"]] == ["tmp", "data"]
    assert [mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]] == ["/tmp", "/data"]
    assert pod["imagePullSecrets"] == [{"name": "registry"}]


@pytest.mark.parametrize(
    "template",
    [
        {"spec": {"volumes": [{"name": "tmp", "emptyDir": {"medium": "Memory"}}]}},
        {"spec": {"containers": [{"name": "server", "volumeMounts": [{"name": "cache", "mountPath": "/models"}]}]}},
        {"spec": {"containers": [{"name": "server", "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}]}]}},
        {"spec": {"containers": None, "volumes": None}},
    ],
)
def test_changes_to_the_servers_own_volumes_are_not_borrowed(owner: Object, template: Object) -> None:
    pod = job(owner, pod_template=template)["spec"]["template"]["spec"]
    assert pod["volumes"] == [{"name": "tmp", "emptyDir": {}}]
    assert pod["containers"][0]["volumeMounts"] == [{"name": "tmp", "mountPath": "/tmp"}]


def test_check_trusts_the_same_private_ca(owner: Object) -> None:
    container = job(owner, caConfigMapRef={"name": "my-ca"})["spec"]["template"]["spec"]["containers"][0]
    assert {"name": "SSL_CERT_FILE", "value": "/etc/luntra-ca/ca.crt"} in container["env"]
