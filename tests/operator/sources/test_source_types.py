"""What a user may write about a source, and how a mistake is told."""

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from luntra_operator.api.crd import _schema
from luntra_operator.api.sources import JobQuery, PrometheusQuery, SecretHeader, WebQuery
from tests.operator.sources.mistakes import MISTAKES

KINDS: dict[str, type[BaseModel]] = {"prometheus": PrometheusQuery, "web": WebQuery, "job": JobQuery}


@pytest.mark.parametrize(("block", "given", "told"), MISTAKES)
def test_mistake_is_refused_by_name(block: str, given: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError) as refused:
        KINDS[block].model_validate(given)
    assert told in str(refused.value)


def test_default_time_limits() -> None:
    assert PrometheusQuery(query="1").time_limit == 5
    assert WebQuery(url="http://a/{{ name }}?{{window}}", json_path="$").time_limit == 5
    assert JobQuery(image="a").time_limit == 300
    assert JobQuery(image="a", timeout="90s").time_limit == 90


@pytest.mark.parametrize("kind", KINDS.values())
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
