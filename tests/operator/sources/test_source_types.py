"""What a user may write about a source, and how a mistake is told."""

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from luntra_operator.api.crd import _schema
from luntra_operator.api.sources import JobQuery, PrometheusQuery, SecretHeader, WebQuery

REF = {"name": "s", "key": "k"}


@pytest.mark.parametrize(
    ("kind", "given", "told"),
    [
        (PrometheusQuery, {"query": ""}, "query"),
        (PrometheusQuery, {"query": "1", "address": "prometheus:9090"}, "address"),
        (PrometheusQuery, {"query": "1", "address": "http://u:p@prometheus"}, "address"),
        (PrometheusQuery, {"query": "1", "address": "http://{{ name }}.svc"}, "address"),
        (PrometheusQuery, {"query": "1", "address": "http://p/?x=1"}, "address"),
        (PrometheusQuery, {"query": "1", "timeout": "500ms"}, "timeout is 500ms: give at least 1s and at most 30s"),
        (PrometheusQuery, {"query": "1", "timeout": "31s"}, "timeout is 31s: give at least 1s and at most 30s"),
        (PrometheusQuery, {"query": "1", "insecureSkipVerify": True}, "insecureSkipVerify"),
        (PrometheusQuery, {"query": "1", "caSecretRef": REF, "caConfigMapRef": REF}, "leave one of them out"),
        (PrometheusQuery, {"query": "1", "bearerTokenSecretRef": {"name": "s"}}, "key"),
        (PrometheusQuery, {"query": "1", "bearerTokenSecretRef": {**REF, "namespace": "other"}}, "namespace"),
        (WebQuery, {"url": "http://{{ name }}.svc/", "jsonPath": "$"}, "url"),
        (WebQuery, {"url": "http://user@a/", "jsonPath": "$"}, "url"),
        (WebQuery, {"url": "file:///etc/passwd", "jsonPath": "$"}, "url"),
        (WebQuery, {"url": "http://a/", "jsonPath": ".x"}, "jsonPath"),
        (WebQuery, {"url": "http://a/", "jsonPath": "$", "method": "POST"}, "method"),
        (WebQuery, {"url": "http://a/", "jsonPath": "$", "headers": [{**REF, "header": "Host"}]}, "header is Host"),
        (WebQuery, {"url": "http://a/", "jsonPath": "$", "headers": [{**REF, "header": "a b"}]}, "header"),
        (JobQuery, {}, "image"),
        (JobQuery, {"image": "a", "timeout": "2h"}, "timeout is 2h: give at least 1s and at most 3600s"),
        (JobQuery, {"image": "a", "env": [{"name": "A"}]}, "env A: give either value or secretKeyRef"),
        (JobQuery, {"image": "a", "env": [{"name": "A", "value": "1", "secretKeyRef": REF}]}, "env A: give either"),
        (JobQuery, {"image": "a", "env": [{"name": "LUNTRA_NAME", "value": "x"}]}, "begin with LUNTRA_"),
        (JobQuery, {"image": "a", "securityContext": {}}, "securityContext"),
    ],
)
def test_mistake_is_refused_by_name(kind: type[BaseModel], given: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError) as refused:
        kind.model_validate(given)
    assert told in str(refused.value)


def test_default_time_limits() -> None:
    assert PrometheusQuery(query="1").time_limit == 5
    assert WebQuery(url="http://a/{{ name }}?{{window}}", json_path="$").time_limit == 5
    assert JobQuery(image="a").time_limit == 300
    assert JobQuery(image="a", timeout="90s").time_limit == 90


@pytest.mark.parametrize("kind", [PrometheusQuery, WebQuery, JobQuery])
def test_types_fit_into_a_crd_and_every_field_is_told(kind: type[BaseModel]) -> None:
    def check(schema: dict[str, Any], path: str) -> None:
        for name, field in schema.get("properties", {}).items():
            assert field.get("description"), f"{path}.{name}"
            check(field, f"{path}.{name}")

    schema = _schema(kind)
    check(schema, kind.__name__)
    assert schema["x-kubernetes-validations"]


def test_headers_value_is_never_in_the_object() -> None:
    assert set(SecretHeader.model_fields) == {"name", "key", "header"}
