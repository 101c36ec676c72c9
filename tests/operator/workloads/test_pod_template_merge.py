"""The user's podTemplate is merged as Kubernetes would merge it, and what it may not do is refused by name."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from luntra_operator.workloads import serving
from luntra_operator.workloads.merge import TemplateError, checked_template, merge
from luntra_operator.workloads.revision import Revision

Object = dict[str, Any]
BASE: Object = {
    "metadata": {"labels": {"luntra.io/workload": "digits-w1"}},
    "spec": {
        "containers": [
            {
                "name": "server",
                "image": "a",
                "env": [{"name": "A", "value": "1"}],
                "args": ["--x"],
                "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
            }
        ],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    },
}


def merged(patch: Object) -> Object:
    before = copy.deepcopy(BASE)
    result = checked_template(BASE, patch)
    assert before == BASE, "the generated template was changed in place"
    return result


def test_no_patch_leaves_the_template() -> None:
    assert checked_template(BASE, None) == BASE
    assert checked_template(BASE, {}) == BASE


def test_containers_merge_by_name_and_their_lists_by_their_keys() -> None:
    server = {
        "name": "server",
        "env": [{"name": "B", "value": "2"}, {"name": "A", "value": "3"}],
        "volumeMounts": [{"name": "models", "mountPath": "/models"}],
    }
    patch = {"spec": {"containers": [server, {"name": "sidecar", "image": "b"}], "volumes": [{"name": "models"}]}}
    spec = merged(patch)["spec"]
    assert [container["name"] for container in spec["containers"]] == ["server", "sidecar"]
    assert spec["containers"][0]["image"] == "a"
    assert spec["containers"][0]["env"] == [{"name": "A", "value": "3"}, {"name": "B", "value": "2"}]
    assert [mount["mountPath"] for mount in spec["containers"][0]["volumeMounts"]] == ["/tmp", "/models"]
    assert [volume["name"] for volume in spec["volumes"]] == ["tmp", "models"]


def test_lists_without_a_key_are_replaced_and_null_deletes() -> None:
    spec = merged({"spec": {"containers": [{"name": "server", "args": ["--y"], "image": None}]}})["spec"]
    assert spec["containers"][0]["args"] == ["--y"]
    assert "image" not in spec["containers"][0]


def test_maps_merge_deeply_and_new_fields_are_added() -> None:
    spec = merged({"spec": {"nodeSelector": {"gpu": "a100"}, "affinity": {"x": {"y": 1}}}})["spec"]
    assert spec["nodeSelector"] == {"gpu": "a100"}
    assert spec["affinity"] == {"x": {"y": 1}}


def test_labels_that_select_the_pods_stay_ours() -> None:
    labels = merged({"metadata": {"labels": {"luntra.io/workload": "other", "team": "a"}}})["metadata"]["labels"]
    assert labels == {"luntra.io/workload": "digits-w1", "team": "a"}
    assert merged({"metadata": {"labels": None}})["metadata"]["labels"] == {"luntra.io/workload": "digits-w1"}


def server(**fields: Any) -> Object:
    return {"spec": {"containers": [{"name": "server", **fields}]}}


@pytest.mark.parametrize(
    ("patch", "told"),
    [
        ({"kind": "Pod"}, "serving.podTemplate.kind is not a field of a pod template; use metadata and spec"),
        ({"spec": None}, "serving.podTemplate.spec is None; it must be a map, or be left out"),
        ({"metadata": []}, "serving.podTemplate.metadata is []"),
        ({"spec": {"containers": [{"image": "x"}]}}, "serving.podTemplate.spec.containers[0] has no name"),
        (server(env=["A=1"]), "serving.podTemplate.spec.containers[0].env[0] has no name"),
        (server(image={"a": 1}), "serving.podTemplate.spec.containers[0].image is a map but the template has a str"),
        ({"spec": {"hostNetwork": True}}, "serving.podTemplate.spec.hostNetwork is refused"),
        ({"spec": {"hostPID": True}}, "serving.podTemplate.spec.hostPID is refused"),
        ({"spec": {"hostIPC": True}}, "serving.podTemplate.spec.hostIPC is refused"),
        ({"spec": {"serviceAccountName": "admin"}}, "serving.podTemplate.spec.serviceAccountName is refused"),
        ({"spec": {"serviceAccount": "admin"}}, "serving.podTemplate.spec.serviceAccountName is refused"),
        ({"spec": {"automountServiceAccountToken": True}}, "automountServiceAccountToken is refused"),
        (
            {"spec": {"volumes": [{"name": "host", "hostPath": {"path": "/"}}]}},
            "'host' is a hostPath, which is refused",
        ),
        ({"spec": {"volumes": [{"name": "tmp", "hostPath": {"path": "/"}}]}}, "'tmp' is a hostPath, which is refused"),
        (server(securityContext={"privileged": True}), "containers: 'server' asks for privileged, which is refused"),
        (server(securityContext={"allowPrivilegeEscalation": True}), "'server' asks for allowPrivilegeEscalation"),
        (server(securityContext={"capabilities": {"add": ["SYS_ADMIN"]}}), "'server' asks for capabilities.add"),
        (server(securityContext={"runAsUser": 0}), "'server' asks for runAsUser 0"),
        (server(securityContext={"seccompProfile": {"type": "Unconfined"}}), "asks for seccompProfile Unconfined"),
        (server(securityContext={"procMount": "Unmasked"}), "asks for procMount"),
        ({"spec": {"securityContext": {"runAsNonRoot": False}}}, "spec.securityContext asks for runAsNonRoot false"),
        (
            {"spec": {"volumes": [{"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]}},
            "'t' holds a token, which is refused",
        ),
        (
            {"spec": {"initContainers": [{"name": "init", "securityContext": {"privileged": True}}]}},
            "serving.podTemplate.spec.initContainers: 'init' asks for privileged",
        ),
    ],
)
def test_what_is_refused_is_named(patch: Object, told: str) -> None:
    with pytest.raises(TemplateError) as refused:
        checked_template(BASE, patch)
    assert told in str(refused.value)


def test_default_service_account_may_be_named() -> None:
    assert merged({"spec": {"serviceAccountName": "default"}})["spec"]["serviceAccountName"] == "default"


def test_patch_reaches_the_deployment(owner: Object, revision: Callable[..., Revision]) -> None:
    stored = revision(podTemplate={"spec": {"tolerations": [{"key": "gpu"}]}})
    deployment = serving.deployment(owner, "digits-w1", stored, 1)
    assert deployment["spec"]["template"]["spec"]["tolerations"] == [{"key": "gpu"}]


def test_merge_changes_neither_side() -> None:
    base, patch = {"a": {"b": [1]}}, {"a": {"c": 2}}
    assert merge(base, patch, "x") == {"a": {"b": [1], "c": 2}}
    assert (base, patch) == ({"a": {"b": [1]}}, {"a": {"c": 2}})
