"""What the chart installs: with its defaults, with every value set, and what it refuses."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from luntra_operator.api import crd
from luntra_operator.api.spec import Model, Serving
from luntra_operator.fleet.budget import Budget
from luntra_operator.runtime.settings import Settings
from luntra_operator.workloads import serving
from luntra_operator.workloads.revision import Revision
from tests.charts.conftest import CHART, ChartError

Object = dict[str, Any]
Render = Callable[..., list[Object]]
DIGEST = "sha256:" + "a" * 64
EVERYTHING: Object = {
    "image": {"repository": "registry.example/operator", "tag": "2", "digest": DIGEST, "pullPolicy": "Always"},
    "imagePullSecrets": [{"name": "registry"}],
    "servingImage": "registry.example/inference:2",
    "crds": {"install": False},
    "watchNamespaces": ["team-a", "team-b"],
    "workers": 3,
    "accelerators": {"resource": "nvidia.com/gpu", "total": 16, "perNamespace": 4, "namespaces": {"team-a": 8}},
    "sources": {
        "prometheus": "http://prometheus.monitoring.svc:9090",
        "hosts": ["*.{namespace}.svc", "stats.example:443"],
        "secrets": True,
    },
    "logLevel": "DEBUG",
    "podMonitors": {"enabled": True, "labels": {"release": "prometheus"}},
    "alerts": {"enabled": True, "labels": {"release": "prometheus"}, "runbooks": "https://wiki.example/luntra"},
    "dashboards": {"enabled": True, "labels": {"grafana_dashboard": "yes"}},
    "resources": {"limits": {"memory": "1Gi"}, "requests": {"cpu": "1", "memory": "1Gi"}},
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"key": "infra", "operator": "Exists"}],
    "affinity": {"podAntiAffinity": {}},
    "podAnnotations": {"note": "yes"},
    "podLabels": {"team": "platform"},
    "priorityClassName": "system-cluster-critical",
}


def kinds_of(objects: list[Object]) -> list[str]:
    return sorted(body["kind"] for body in objects)


def one(objects: list[Object], kind: str) -> Object:
    (found,) = (body for body in objects if body["kind"] == kind)
    return found


def test_defaults_install_the_operator_for_all_namespaces(render: Render) -> None:
    objects = render()
    assert kinds_of(objects) == [
        "ClusterRole",
        "ClusterRole",
        "ClusterRoleBinding",
        "ClusterRoleBinding",
        "CustomResourceDefinition",
        "Deployment",
        "Role",
        "RoleBinding",
        "ServiceAccount",
    ]
    for body in objects:
        assert body["metadata"]["labels"]["app.kubernetes.io/instance"] == "luntra"
        if body["kind"] in ("Deployment", "Role", "RoleBinding", "ServiceAccount"):
            assert body["metadata"]["namespace"] == "luntra-system"


def test_crd_is_the_generated_one_and_survives_an_uninstall(render: Render) -> None:
    found = one(render(), "CustomResourceDefinition")
    assert found["spec"] == crd.crd()["spec"]
    assert found["metadata"]["name"] == crd.crd()["metadata"]["name"]
    assert found["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_container_is_unprivileged_on_a_read_only_root(render: Render) -> None:
    pod = one(render(), "Deployment")["spec"]["template"]["spec"]
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not any(pod.get(field) for field in ("hostNetwork", "hostPID", "hostIPC"))
    assert all("emptyDir" in volume for volume in pod["volumes"])


def test_operator_runs_once_and_is_replaced_rather_than_doubled(render: Render) -> None:
    spec = one(render(), "Deployment")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    assert spec["selector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items()


def environment(objects: list[Object]) -> dict[str, str]:
    container = one(objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    return {entry["name"]: str(entry.get("value", "from-the-pod")) for entry in container["env"]}


def test_settings_that_the_chart_writes_are_settings_that_the_operator_reads(render: Render) -> None:
    settings = Settings.from_environment(environment(render()))
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
    assert (settings.serving_image, settings.check_image) == ("luntra/inference:0.1.0", f"luntra/operator:{version}")
    assert (settings.namespaces, settings.workers) == ((), 8)
    assert settings.leader_election
    assert settings.accelerators is None
    assert (settings.prometheus, settings.source_hosts.entries) == ("", ())
    source = (Path(__file__).parents[2] / "operator/src/luntra_operator/runtime").rglob("*.py")
    read = "".join(path.read_text() for path in source)
    assert [name for name in environment(render()) if f'"{name}"' not in read] == []


def test_every_value_arrives_where_it_belongs(render: Render) -> None:
    objects = render(EVERYTHING)
    settings = Settings.from_environment(environment(objects))
    assert settings.check_image == f"registry.example/operator@{DIGEST}"
    assert settings.serving_image == "registry.example/inference:2"
    assert (settings.namespaces, settings.workers) == (("team-a", "team-b"), 3)
    assert settings.accelerators == Budget("nvidia.com/gpu", 16, 4, {"team-a": 8})
    assert settings.prometheus == "http://prometheus.monitoring.svc:9090"
    for url in ("http://web.team-a.svc:8080/", "https://stats.example/", "http://prometheus.monitoring.svc:9090/api"):
        assert settings.source_hosts.admit(url, "team-a")
    assert environment(objects)["LUNTRA_LOG_LEVEL"] == "DEBUG"
    template = one(objects, "Deployment")["spec"]["template"]
    pod = template["spec"]
    (container,) = pod["containers"]
    assert container["image"] == f"registry.example/operator@{DIGEST}"
    assert (container["imagePullPolicy"], container["resources"]) == ("Always", EVERYTHING["resources"])
    for field in ("imagePullSecrets", "nodeSelector", "tolerations", "affinity", "priorityClassName"):
        assert pod[field] == EVERYTHING[field], field
    assert template["metadata"]["annotations"]["note"] == "yes"
    assert template["metadata"]["labels"]["team"] == "platform"
    assert "CustomResourceDefinition" not in kinds_of(objects)


def test_everything_above_is_every_value_there_is() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert set(EVERYTHING) == set(values)
    for section in ("image", "sources", "podMonitors", "alerts", "dashboards"):
        assert set(EVERYTHING[section]) == set(values[section])


def test_prometheus_finds_the_ports_and_pods_that_it_is_told_to_scrape(render: Render) -> None:
    """Breaks if a port, a label or a namespace is called otherwise than the PodMonitors say."""
    objects = render(EVERYTHING)
    mine, models = (body for body in objects if body["kind"] == "PodMonitor")
    revision = Revision(
        hash="r", model=Model(version="1", uri="file:///m", digest=DIGEST), serving=Serving(), image="i"
    )
    owner = {"metadata": {"name": "digits", "namespace": "team-a", "uid": "u"}}
    pods = (one(objects, "Deployment"), serving.deployment(owner, "digits-w1", revision, 1))
    for monitor, pod in zip((mine, models), (body["spec"]["template"] for body in pods), strict=True):
        wanted = monitor["spec"]["selector"]["matchLabels"]
        assert wanted.items() <= pod["metadata"]["labels"].items()
        assert set(monitor["spec"].get("podTargetLabels", ())) <= set(pod["metadata"]["labels"])
        (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
        assert endpoint["port"] in {port["name"] for port in pod["spec"]["containers"][0]["ports"]}
        assert monitor["metadata"]["labels"]["release"] == "prometheus"
    assert mine["spec"]["podMetricsEndpoints"][0]["honorLabels"]
    assert "namespaceSelector" not in mine["spec"]
    assert models["spec"]["namespaceSelector"] == {"matchNames": ["team-a", "team-b"]}
    (_, everywhere) = (body for body in render({"podMonitors": {"enabled": True}}) if body["kind"] == "PodMonitor")
    assert everywhere["spec"]["namespaceSelector"] == {"any": True}


def test_rule_object_has_the_alerts_of_the_file_and_dashboards_are_those_of_the_folder(render: Render) -> None:
    objects = render(EVERYTHING)
    rules = one(objects, "PrometheusRule")
    file = (CHART / "files/alerts.yaml").read_text()
    assert rules["spec"] == yaml.safe_load(file.replace("docs/operations.md", "https://wiki.example/luntra"))
    assert one(render({"alerts": {"enabled": True}}), "PrometheusRule")["spec"] == yaml.safe_load(file)
    assert rules["metadata"]["labels"]["release"] == "prometheus"
    boards = [body for body in objects if body["kind"] == "ConfigMap"]
    assert {body["metadata"]["labels"]["grafana_dashboard"] for body in boards} == {"yes"}
    assert {name.removeprefix("luntra-"): text for body in boards for name, text in body["data"].items()} == {
        path.name: path.read_text() for path in (CHART / "files/dashboards").iterdir()
    }


def test_tag_is_used_where_there_is_no_digest(render: Render) -> None:
    objects = render({"image": {"tag": "7"}})
    assert environment(objects)["LUNTRA_CHECK_IMAGE"] == "luntra/operator:7"


def test_second_release_gets_names_of_its_own(render: Render) -> None:
    names = {body["metadata"]["name"] for body in render(release="test") if body["kind"] != "CustomResourceDefinition"}
    assert names == {"test-luntra", "test-luntra-discovery", "test-luntra-own"}
    assert {len(body["metadata"]["name"]) <= 63 for body in render(release="r" * 53)} == {True}


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"workers": 0}, "/workers': minimum: got 0, want 1"),
        ({"workers": "many"}, "/workers': got string, want integer"),
        ({"logLevel": "verbose"}, "/logLevel': value must be one of 'DEBUG', 'INFO', 'WARNING', 'ERROR'"),
        ({"image": {"pullPolicy": "Sometimes"}}, "/image/pullPolicy'"),
        ({"image": {"digest": "sha256:abc"}}, "/image/digest'"),
        ({"image": {"repository": ""}}, "/image/repository'"),
        ({"servingImage": ""}, "/servingImage': minLength"),
        ({"watchNamespaces": "team-a"}, "/watchNamespaces': got string, want array"),
        ({"accelerators": {"total": 16}}, "/accelerators': properties 'resource' required, if 'total' exists"),
        ({"accelerators": {"resource": "nvidia.com/gpu", "total": 0}}, "/accelerators/total': minimum"),
        ({"accelerators": {"resource": "gpu", "total": 4}}, "/accelerators/resource': 'gpu' does not match"),
        ({"sources": {"prometheus": "prometheus:9090"}}, "/sources/prometheus': 'prometheus:9090' does not match"),
        ({"sources": {"hosts": ["a,b"]}}, "/sources/hosts/0': 'a,b' does not match"),
        ({"sources": {"secrets": "yes"}}, "/sources/secrets': got string, want boolean"),
        ({"colour": "blue"}, "additional properties 'colour' not allowed"),
        ({"alerts": {"runbooks": ""}}, "/alerts/runbooks': minLength"),
        ({"dashboards": {"labels": {"grafana_dashboard": 1}}}, "/dashboards/labels/grafana_dashboard': got number"),
        ({"podMonitors": {"enable": True}}, "additional properties 'enable' not allowed"),
        ({"crds": {"instal": False}}, "additional properties 'instal' not allowed"),
    ],
)
def test_wrong_value_is_refused_by_name(render: Render, values: Object, told: str) -> None:
    with pytest.raises(ChartError) as refused:
        render(values)
    assert told in str(refused.value)
