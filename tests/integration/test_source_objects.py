"""What the sources of metrics write into a CRD and run as Jobs, before a real API server."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import Field

from e2e.kind import definitions
from e2e.kind.control_plane import Answer
from luntra_operator.api import crd
from luntra_operator.api.base import ApiModel
from luntra_operator.api.sources import JobQuery, PrometheusQuery, WebQuery
from luntra_operator.kube.client import Kube
from luntra_operator.runtime.borrowing import Borrowing
from luntra_operator.sources.job import job
from luntra_operator.sources.target import Target
from tests.operator.sources.mistakes import MISTAKES, REF

if TYPE_CHECKING:
    from pathlib import Path

    from e2e.kind.control_plane import ApiServer

TARGET = Target("team-a", "gas-price", "0a1b2c3d4e", None, "gas-price-w2", None, 30.0)
GOOD: list[dict[str, Any]] = [
    {"prometheus": {"query": "vector(1)"}},
    {
        "prometheus": {
            "address": "https://prometheus.monitoring.svc:9090/team",
            "query": 'rate(errors{revision="{{ revision }}"}[{{ window }}])',
            "timeout": "30s",
            "bearerTokenSecretRef": REF,
            "caConfigMapRef": REF,
        }
    },
    {
        "web": {
            "url": "http://[fd00::1]:8080/v1/{{ name }}?of={{revision}}",
            "jsonPath": "$.data[?@.name == 'errors'].value",
            "method": "GET",
            "headers": [{**REF, "header": "X-Api-Key"}],
            "timeout": "1s",
        }
    },
    {
        "job": {
            "image": "team/drift:1",
            "args": ["--fast"],
            "env": [{"name": "A", "value": ""}, {"name": "B", "secretKeyRef": REF}],
            "resources": {"limits": {"memory": "1Gi", "cpu": 1}},
            "timeout": "1h",
        }
    },
]


class Metric(ApiModel):
    """As a list of metrics has them."""

    prometheus: PrometheusQuery | None = Field(default=None, description="Prometheus.")
    web: WebQuery | None = Field(default=None, description="A URL.")
    job: JobQuery | None = Field(default=None, description="A container.")


class Spec(ApiModel):
    """Enough of them for the API server's limit on the cost of rules to matter."""

    metrics: list[Metric] = Field(max_length=20, description="Metrics.")


@pytest.fixture(scope="module")
def measured(api_server: ApiServer, kubectl: Path) -> str:
    """The path of a kind that has nothing but metrics."""
    body = copy.deepcopy(crd.crd())
    body["metadata"]["name"] = "measurements.test.luntra.io"
    names = {"kind": "Measurement", "listKind": "MeasurementList", "plural": "measurements", "singular": "measurement"}
    body["spec"] |= {"group": "test.luntra.io", "names": names}
    version = body["spec"]["versions"][0]
    version["schema"]["openAPIV3Schema"] = {"type": "object", "properties": {"spec": crd._schema(Spec)}}
    version["subresources"], version["additionalPrinterColumns"] = {}, []
    api_server.request("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", body)
    definitions.until_served([str(kubectl), f"--kubeconfig={api_server.kubeconfig}"])
    return "/apis/test.luntra.io/v1alpha1/namespaces/{}/measurements?fieldValidation=Strict"


def measurement(*metrics: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "test.luntra.io/v1alpha1",
        "kind": "Measurement",
        "metadata": {"generateName": "m-"},
        "spec": {"metrics": list(metrics)},
    }


def test_every_field_is_accepted_twenty_times_over(api_server: ApiServer, namespace: str, measured: str) -> None:
    Spec.model_validate({"metrics": GOOD * 5})
    made = api_server.request("POST", measured.format(namespace), measurement(*GOOD * 5))
    assert made["spec"]["metrics"] == GOOD * 5


@pytest.mark.parametrize(("block", "given", "told"), MISTAKES)
def test_api_server_refuses_what_the_types_refuse(
    api_server: ApiServer, namespace: str, measured: str, block: str, given: dict[str, Any], told: str
) -> None:
    with pytest.raises(Answer) as refused:
        api_server.request("POST", measured.format(namespace), measurement({block: given}))
    assert refused.value.status in (400, 422)
    assert f"spec.metrics[0].{block}" in str(refused.value)


def test_pods_of_a_measurement_are_admitted_where_only_restricted_ones_are(
    api_server: ApiServer, namespace: str
) -> None:
    label = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    api_server.request("PATCH", f"/api/v1/namespaces/{namespace}", label, "application/merge-patch+json")
    query = JobQuery.model_validate(GOOD[-1]["job"])
    body = job(query, TARGET, {"name": "drift", "namespace": namespace, "labels": {"luntra.io/role": "check"}})
    api_server.request("POST", f"/apis/batch/v1/namespaces/{namespace}/jobs?fieldValidation=Strict", body)
    template = body["spec"]["template"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "drift"}, "spec": template["spec"]}
    api_server.request("POST", f"/api/v1/namespaces/{namespace}/pods?fieldValidation=Strict", pod)


async def test_token_comes_from_the_objects_own_namespace(api_server: ApiServer, namespace: str) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "access"}, "stringData": {"token": "hush"}}
    api_server.request("POST", f"/api/v1/namespaces/{namespace}/secrets", secret)
    async with Kube.connect(kubeconfig=str(api_server.kubeconfig)) as kube:
        assert await Borrowing(kube).secret(namespace, "access", "token") == "hush"
