"""The Job of a check: what it is told, how it runs, and what it borrows from the model server's pod."""

import json
from typing import Any

import pytest

from luntra_operator.api.spec import ModelDeploymentSpec
from luntra_operator.api.validation import parse_spec
from luntra_operator.workloads.check_job import check_job
from luntra_operator.workloads.naming import check_names
from luntra_operator.workloads.serving import service, stable_service

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
        "evaluation": {**CHECKS["evaluation"], "batchSize": 32, "timeout": "5m", "retries": 1},
        "benchmark": CHECKS["benchmark"] | {"concurrency": 4, "maxErrorRate": 0.0, "retries": 1},
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


def test_a_try_ends_with_its_first_failed_pod_but_not_with_one_that_was_taken_away(owner: Object) -> None:
    """Breaks if the Job retries by itself (the engine counts tries), or an eviction uses one up."""
    wanted = job(owner)["spec"]
    assert wanted["backoffLimit"] == 0
    (rule,) = wanted["podFailurePolicy"]["rules"]
    assert rule == {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}


def test_deadline_leaves_time_for_the_pod_to_start(owner: Object) -> None:
    assert job(owner)["spec"]["activeDeadlineSeconds"] == 120 + 120


def test_each_try_has_a_job_of_its_own_under_a_name_that_is_known(owner: Object) -> None:
    names = [
        check_job(owner, spec(), "benchmark", "digits-w2", None, "image", attempt)["metadata"]["name"]
        for attempt in range(1, 8)
    ]
    assert names[:3] == ["digits-w2-benchmark", "digits-w2-benchmark-2", "digits-w2-benchmark-3"]
    assert [check_names("digits-w2")[name] for name in names] == [1, 2, 3, 4, 5, 6, 7], (
        "5 retries, and a second look at stable"
    )


@pytest.mark.parametrize("check", ["evaluation", "benchmark"])
def test_checks_go_to_the_candidates_own_service_and_never_to_a_route_of_users(owner: Object, check: str) -> None:
    """Breaks if a check asks the Service <name>, a public host name, or a Service that users' requests share with it."""
    public = "digits.example.com"
    gateway = {"parentRefs": [{"name": "public"}], "hostnames": [public]}
    wanted = parse_spec(
        {
            "model": {"version": "v1", "uri": "https://models.example/v1", "digest": DIGEST},
            "traffic": {"gateway": gateway, "probe": {"url": f"http://{public}"}},
            "rollout": {"checks": CHECKS},
        }
    )
    body = check_job(owner, wanted, check, "digits-w2", "digits-w1", "image")
    asked = configuration(body)
    candidate, stable = service(owner, "digits-w2"), service(owner, "digits-w1")
    for address, own in ((asked["candidate"], candidate), (asked["stable"], stable)):
        host = f"{own['metadata']['name']}.{own['metadata']['namespace']}.svc"
        assert address == f"http://{host}:{own['spec']['ports'][0]['port']}"
    assert candidate["spec"]["selector"] == {"luntra.io/workload": "digits-w2"}
    text = json.dumps(body)
    assert public not in text
    assert f"http://{stable_service(owner, 'digits-w1')['metadata']['name']}." not in text


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
