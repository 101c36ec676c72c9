"""What makes two specs the same revision, and what does not."""

from typing import Any

import pytest

from luntra_operator.api.revision import revision_content, revision_hash
from luntra_operator.api.validation import parse_spec

MODEL = {"version": "v1", "uri": "https://models.example/v1", "digest": "sha256:" + "a" * 64}
GATEWAY = {"gateway": {"parentRefs": [{"name": "gateway"}]}}


def revision(model: dict[str, Any] | None = None, serving: Any = None, **rest: Any) -> str:
    body = {"model": {**MODEL, **(model or {})}, **rest}
    return revision_hash(parse_spec(body if serving is None else {**body, "serving": serving}))


def limits(value: Any, name: str = "nvidia.com/gpu") -> dict[str, Any]:
    return {"resources": {"limits": {name: value}}}


@pytest.mark.parametrize("spelling", [1, "1", "1000m", "1.0"])
def test_spelling_of_a_quantity_does_not_matter(spelling: Any) -> None:
    assert revision(serving=limits(spelling)) == revision(serving=limits(1))


@pytest.mark.parametrize("field", ["deadline", "batchDelay", "terminationDelay"])
def test_spelling_of_a_duration_does_not_matter(field: str) -> None:
    assert revision(serving={"runtime": {field: "60s"}}) == revision(serving={"runtime": {field: "1m"}})
    assert revision(serving={"runtime": {field: "1234567ms"}}) != revision(serving={"runtime": {field: "1234568ms"}})


@pytest.mark.parametrize(
    "rest",
    [
        {"replicas": 7},
        {"traffic": GATEWAY},
        {"traffic": GATEWAY, "rollout": {"steps": [{"weight": 10}], "soak": "1s", "paused": True}},
        {"rollout": {"checks": {"benchmark": {"requests": 10}}}},
    ],
)
def test_what_is_not_model_or_serving_has_no_part_in_it(rest: dict[str, Any]) -> None:
    assert revision(**rest) == revision()


@pytest.mark.parametrize(
    "changed",
    [
        {"version": "v2"},
        {"uri": "https://models.example/v2"},
        {"digest": "sha256:" + "b" * 64},
        {"caConfigMapRef": {"name": "ca"}},
    ],
)
def test_every_field_of_the_model_has_a_part_in_it(changed: dict[str, Any]) -> None:
    assert revision(model=changed) != revision()


@pytest.mark.parametrize(
    "serving",
    [
        {"image": "luntra/inference:2"},
        limits(1),
        {"runtime": {"maxQueue": 1}},
        {"podTemplate": {"spec": {"nodeSelector": {"gpu": "a100"}}}},
        {"podTemplate": {"spec": {"securityContext": None}}},
    ],
)
def test_every_part_of_serving_has_a_part_in_it(serving: dict[str, Any]) -> None:
    assert revision(serving=serving) != revision()


def test_empty_serving_is_the_same_as_none() -> None:
    assert revision(serving={}) == revision()
    assert "serving" not in revision_content(parse_spec({"model": MODEL, "serving": {}}))


def test_revision_is_pinned_so_that_an_upgrade_starts_no_rollout() -> None:
    # If this fails, every ModelDeployment in every cluster would be rolled out anew by the next release.
    assert revision(serving=limits("2Gi", "memory") | {"runtime": {"deadline": "500ms"}}) == "252c487975"


def test_order_of_keys_does_not_matter() -> None:
    assert revision_hash(parse_spec({"model": dict(reversed(MODEL.items()))})) == revision()
