"""The generated CRD: structural, described, without defaults where they would falsify the revision, and not drifted."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from luntra_operator.api import crd

ROOT = Path(__file__).parents[3]
GENERATED = crd.crd()
SCHEMA = GENERATED["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def fields(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every property below a schema, with its path."""
    for name, found in node.get("properties", {}).items():
        yield f"{path}.{name}", found
        yield from fields(found, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(node.get(key), dict):
            yield from fields(node[key], f"{path}[]")


SPEC = list(fields(SCHEMA["properties"]["spec"], "spec"))
STATUS = list(fields(SCHEMA["properties"]["status"], "status"))


@pytest.mark.parametrize(
    "file", ["crds/luntra.io_modeldeployments.yaml", "charts/luntra/files/luntra.io_modeldeployments.yaml"]
)
def test_committed_file_is_what_the_types_generate(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    crd.main()
    assert (ROOT / file).read_text() == capsys.readouterr().out, f"{file} has drifted; run make crds"


def test_document_is_plain_yaml() -> None:
    assert yaml.safe_load(yaml.safe_dump(GENERATED)) == GENERATED


def test_every_field_is_described() -> None:
    assert len(SPEC) > 60
    assert len(STATUS) > 40
    assert [path for path, field in [*SPEC, *STATUS] if not field.get("description")] == []


def test_revision_content_has_no_defaults() -> None:
    below = [path for path, field in SPEC if path.startswith(("spec.model", "spec.serving")) and "default" in field]
    assert below == []
    assert [path for path, field in [*SPEC, *STATUS] if "default" in field] == ["spec.replicas"]


def test_schema_is_structural() -> None:
    forbidden = {"$ref", "$defs", "anyOf", "oneOf", "allOf", "const", "title"}
    allowed = {"apiVersion", "kind", "metadata"}
    for path, field in [*SPEC, *STATUS]:
        assert not forbidden & set(field), path
        assert "type" in field or field.get("x-kubernetes-int-or-string") or path in allowed, path
        assert field.get("additionalProperties") is not False, path
        assert not ("properties" in field and "additionalProperties" in field), path


def test_cel_rules_of_every_type_are_in_the_schema() -> None:
    rules = {
        rule["message"]
        for field in [SCHEMA["properties"]["spec"], *(field for _, field in SPEC)]
        for rule in field.get("x-kubernetes-validations", [])
    }
    for word in (
        "weights must increase",
        "rollout.steps needs",
        "exclude each other",
        "'mesh' means the sidecars",
        "cannot be changed",
        "uri must start",
        "needs a bound",
        "give gRPC a host of its own",
    ):
        assert any(word in message for message in rules), word


def test_scale_subresource_points_at_fields_that_exist() -> None:
    scale = GENERATED["spec"]["versions"][0]["subresources"]["scale"]
    paths = {f".{path}" for path, _ in [*SPEC, *STATUS]}
    assert set(scale.values()) <= paths
