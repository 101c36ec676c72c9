"""Deployment, Service and ConfigMap of a workload: names, ownership, document, and a pod that names no model."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from luntra_operator.api.quantities import seconds
from luntra_operator.workloads import serving
from luntra_operator.workloads.naming import check_name, ordinal, owned_by, revision_name
from luntra_operator.workloads.revision import Revision

Object = dict[str, Any]
Make = Callable[..., Revision]
WORKLOAD = "digits-w3"


def arguments(deployment: Object) -> dict[str, str]:
    found: dict[str, str] = dict(
        argument.split("=", 1) for argument in deployment["spec"]["template"]["spec"]["containers"][0]["args"]
    )
    return found


def test_every_child_is_named_labelled_and_owned(owner: Object, revision: Make) -> None:
    children = [
        serving.deployment(owner, WORKLOAD, revision(), 2),
        serving.service(owner, WORKLOAD),
        serving.config_map(owner, WORKLOAD, revision()),
    ]
    for child in children:
        meta = child["metadata"]
        assert (meta["name"], meta["namespace"]) == (WORKLOAD, "team-a")
        assert meta["labels"]["luntra.io/workload"] == WORKLOAD
        assert meta["labels"]["luntra.io/model-deployment"] == "digits"
        assert meta["ownerReferences"] == [
            {
                "apiVersion": "luntra.io/v1alpha1",
                "kind": "ModelDeployment",
                "name": "digits",
                "uid": "owner-uid",
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ]
        assert owned_by(owner, child)
        assert not owned_by({"metadata": {"uid": "other"}}, child)


def test_selectors_use_only_the_label_that_never_changes(owner: Object, revision: Make) -> None:
    deployment = serving.deployment(owner, WORKLOAD, revision(), 2)
    wanted = {"luntra.io/workload": WORKLOAD}
    assert deployment["spec"]["selector"]["matchLabels"] == wanted
    assert serving.service(owner, WORKLOAD)["spec"]["selector"] == wanted
    assert serving.stable_service(owner, WORKLOAD)["spec"]["selector"] == wanted
    assert serving.stable_service(owner, WORKLOAD)["metadata"]["name"] == "digits"
    assert wanted.items() <= deployment["spec"]["template"]["metadata"]["labels"].items()


def test_document_says_what_to_serve(owner: Object, revision: Make) -> None:
    document = json.loads(serving.config_map(owner, WORKLOAD, revision())["data"]["document.json"])
    assert document == {
        "generation": 1,
        "model": "digits",
        "stable": {
            "version": "v1",
            "revision": "0123456789",
            "uri": "https://models.example/secret-path/v1",
            "digest": "sha256:" + "a" * 64,
        },
    }
    named = serving.config_map(owner, WORKLOAD, revision(model={"name": "prices"}))
    assert json.loads(named["data"]["document.json"])["model"] == "prices"


def test_pod_template_names_no_model_version_uri_or_digest(owner: Object, revision: Make) -> None:
    stored = revision(model={"name": "prices"})
    template = json.dumps(serving.deployment(owner, WORKLOAD, stored, 2)["spec"]["template"])
    for word in ("prices", 'v1"', "secret-path", "sha256:", "0123456789"):
        assert word not in template


def test_server_gets_its_limits_from_the_revision(owner: Object, revision: Make) -> None:
    runtime = {"maxQueue": 7, "deadline": "100ms", "maxBatch": 4, "batchDelay": "3ms", "terminationDelay": "9s"}
    given = arguments(serving.deployment(owner, WORKLOAD, revision(runtime=runtime), 2))
    assert given["--document"] == "/etc/luntra/document.json"
    assert (given["--http-port"], given["--management-port"]) == ("8080", "8090")
    assert (given["--max-queue"], given["--max-batch"], given["--batch-delay"]) == ("7", "4", "3ms")
    assert (given["--deadline"], given["--termination-delay"]) == ("100ms", "9s")
    defaults = arguments(serving.deployment(owner, WORKLOAD, revision(), 2))
    assert (defaults["--deadline"], defaults["--termination-delay"]) == ("30s", "5s")


def test_resources_are_those_of_the_revision(owner: Object, revision: Make) -> None:
    resources = {"limits": {"nvidia.com/gpu": 1, "memory": "2Gi"}}
    deployment = serving.deployment(owner, WORKLOAD, revision(resources=resources), 2)
    assert deployment["spec"]["template"]["spec"]["containers"][0]["resources"] == resources
    assert (
        "resources"
        not in serving.deployment(owner, WORKLOAD, revision(), 2)["spec"]["template"]["spec"]["containers"][0]
    )


def test_pod_runs_unprivileged_on_a_read_only_root_without_a_token(owner: Object, revision: Make) -> None:
    pod = serving.deployment(owner, WORKLOAD, revision(), 2)["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 65532
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    context = pod["containers"][0]["securityContext"]
    assert context == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    writable = {mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"] if not mount.get("readOnly")}
    assert writable == {"/var/cache/luntra", "/tmp"}


@pytest.mark.parametrize("delay", ["0s", "500ms", "5s", "2m"])
def test_grace_period_outlasts_termination_delay_and_drain(owner: Object, revision: Make, delay: str) -> None:
    deployment = serving.deployment(owner, WORKLOAD, revision(runtime={"terminationDelay": delay}), 2)
    grace = deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert isinstance(grace, int)
    assert grace > seconds(delay) + serving.DRAIN_SECONDS


def test_readiness_alone_decides_about_traffic(owner: Object, revision: Make) -> None:
    container = serving.deployment(owner, WORKLOAD, revision(), 2)["spec"]["template"]["spec"]["containers"][0]
    assert container["readinessProbe"]["httpGet"] == {"path": "/v2/health/ready", "port": "http"}
    assert container["livenessProbe"]["httpGet"]["path"] == "/v2/health/live"
    assert container["startupProbe"]["httpGet"]["path"] == "/v2/health/live"


def test_private_ca_is_mounted_and_trusted(owner: Object, revision: Make) -> None:
    stored = revision(model={"caConfigMapRef": {"name": "my-ca", "key": "root.pem"}})
    pod = serving.deployment(owner, WORKLOAD, stored, 2)["spec"]["template"]["spec"]
    assert {"name": "ca", "configMap": {"name": "my-ca", "items": [{"key": "root.pem", "path": "root.pem"}]}} in pod[
        "volumes"
    ]
    container = pod["containers"][0]
    assert {"name": "ca", "mountPath": "/etc/luntra-ca", "readOnly": True} in container["volumeMounts"]
    assert container["env"] == [{"name": "SSL_CERT_FILE", "value": "/etc/luntra-ca/root.pem"}]
    plain = serving.deployment(owner, WORKLOAD, revision(model={"caConfigMapRef": {"name": "my-ca"}}), 2)
    assert plain["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"] == "/etc/luntra-ca/ca.crt"


def test_token_of_feedback_is_mounted_where_the_server_is_told_to_look(owner: Object, revision: Make) -> None:
    stored = revision(feedback={"tokenSecretRef": {"name": "judges", "key": "token"}})
    pod = serving.deployment(owner, WORKLOAD, stored, 2)["spec"]["template"]["spec"]
    secret = {"secretName": "judges", "items": [{"key": "token", "path": "token"}]}
    assert {"name": "feedback", "secret": secret} in pod["volumes"]
    container = pod["containers"][0]
    assert {"name": "feedback", "mountPath": "/etc/luntra-feedback", "readOnly": True} in container["volumeMounts"]
    assert "--feedback-token-file=/etc/luntra-feedback/token" in container["args"]
    plain = serving.deployment(owner, WORKLOAD, revision(), 2)["spec"]["template"]["spec"]["containers"][0]
    assert not any("feedback" in argument for argument in plain["args"])


def test_rendering_is_a_function_of_its_arguments(owner: Object, revision: Make) -> None:
    assert serving.deployment(owner, WORKLOAD, revision(), 2) == serving.deployment(owner, WORKLOAD, revision(), 2)


@pytest.mark.parametrize(
    ("name", "number"),
    [("digits-w1", 1), ("digits-w12", 12), ("digits", 0), ("digits-w0", 0), ("digits-w1-benchmark", 0)],
)
def test_ordinal_is_the_number_in_a_workloads_name(name: str, number: int) -> None:
    assert ordinal(name) == number


def test_names_of_revisions_and_checks() -> None:
    assert revision_name("digits", "abc") == "digits-abc"
    assert check_name("digits-w1", "benchmark") == "digits-w1-benchmark"
