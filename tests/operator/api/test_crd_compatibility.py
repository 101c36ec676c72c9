"""The CRD only grows: whatever the released one accepts, today's accepts too; and the comparison sees each kind of break."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from .crd_compatibility import breaks

NAME = "luntra.io_modeldeployments.yaml"
CRDS = Path("crds")

Schema = dict[str, Any]
Change = Callable[[Schema], Any]


def test_crd_accepts_what_the_released_one_accepted() -> None:
    released, new = (yaml.safe_load(path.read_text()) for path in (CRDS / "released" / NAME, CRDS / NAME))
    assert list(breaks(released, new)) == []


def crd() -> Schema:
    spec: Schema = {
        "type": "object",
        "required": ["model"],
        "properties": {
            "model": {"type": "string", "pattern": "^[a-z]+$", "minLength": 1, "maxLength": 63},
            "mode": {"type": "string", "enum": ["a", "b"]},
            "any": {"type": "string", "nullable": True},
            "weights": {
                "type": "array",
                "maxItems": 20,
                "items": {"type": "integer", "minimum": 1, "maximum": 99},
                "x-kubernetes-validations": [{"rule": "self.isSorted()", "message": "sorted"}],
            },
            "limits": {"additionalProperties": {"type": "integer", "x-kubernetes-int-or-string": True}},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
            "replicas": {"type": "integer", "default": 1},
        },
    }
    version = {
        "name": "v1",
        "served": True,
        "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.replicas"}},
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}},
    }
    names = {"kind": "Thing", "plural": "things", "shortNames": ["th", "tg"]}
    return {"spec": {"group": "luntra.io", "scope": "Namespaced", "names": names, "versions": [version]}}


def spec_of(body: Schema) -> Schema:
    spec: Schema = body["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return spec


def changed(change: Change, *, inside: Callable[[Schema], Schema] = spec_of) -> list[str]:
    new = copy.deepcopy(crd())
    change(inside(new))
    return list(breaks(crd(), new))


BREAKS: dict[str, tuple[Change, str]] = {
    "removed field": (lambda spec: spec["properties"].pop("mode"), "v1.spec.mode is gone"),
    "field required now": (lambda spec: spec["required"].append("mode"), "v1.spec.mode is required now"),
    "new required field": (
        lambda spec: (spec["required"].append("x"), spec["properties"].update(x={"type": "string"})),
        "v1.spec.x is required now",
    ),
    "other type": (
        lambda spec: spec["properties"]["mode"].update(type="integer"),
        "v1.spec.mode: type was string and is integer",
    ),
    "other default": (
        lambda spec: spec["properties"]["replicas"].update(default=2),
        "v1.spec.replicas: default was 1 and is 2",
    ),
    "lower maximum": (
        lambda spec: spec["properties"]["weights"]["items"].update(maximum=50),
        "v1.spec.weights[]: maximum was 99 and is 50",
    ),
    "new bound": (
        lambda spec: spec["properties"]["mode"].update(maxLength=5),
        "v1.spec.mode: maxLength was not limited and is 5",
    ),
    "higher minimum": (
        lambda spec: spec["properties"]["model"].update(minLength=2),
        "v1.spec.model: minLength was 1 and is 2",
    ),
    "fewer items": (
        lambda spec: spec["properties"]["weights"].update(maxItems=19),
        "v1.spec.weights: maxItems was 20 and is 19",
    ),
    "smaller enum": (
        lambda spec: spec["properties"]["mode"].update(enum=["a", "c"]),
        "v1.spec.mode: only ['a', 'c'] are allowed now, not ['a', 'b']",
    ),
    "new enum": (
        lambda spec: spec["properties"]["model"].update(enum=["a"]),
        "v1.spec.model: only ['a'] are allowed now, not everything",
    ),
    "other pattern": (
        lambda spec: spec["properties"]["model"].update(pattern="^[a-f]+$"),
        "v1.spec.model: pattern was ^[a-z]+$ and is ^[a-f]+$",
    ),
    "new rule": (
        lambda spec: spec.update({"x-kubernetes-validations": [{"rule": "has(self.mode)"}]}),
        "v1.spec: a new rule, has(self.mode)",
    ),
    "new rule that names a new field, but not as its condition": (
        lambda spec: spec.update({"x-kubernetes-validations": [{"rule": "has(self.mode) || has(self.new)"}]}),
        "v1.spec: a new rule, has(self.mode) || has(self.new)",
    ),
    "new rule about an old field's absence": (
        lambda spec: spec.update({"x-kubernetes-validations": [{"rule": "!has(self.mode) || has(self.new)"}]}),
        "v1.spec: a new rule, !has(self.mode) || has(self.new)",
    ),
    "null refused": (lambda spec: spec["properties"]["any"].pop("nullable"), "v1.spec.any: nullable is gone"),
    "unknown fields pruned": (
        lambda spec: spec["properties"]["free"].pop("x-kubernetes-preserve-unknown-fields"),
        "v1.spec.free: x-kubernetes-preserve-unknown-fields is gone",
    ),
    "map closed": (
        lambda spec: spec["properties"]["limits"].pop("additionalProperties"),
        "v1.spec.limits: additionalProperties is gone",
    ),
    "values of a map": (
        lambda spec: spec["properties"]["limits"]["additionalProperties"].pop("x-kubernetes-int-or-string"),
        "v1.spec.limits[]: x-kubernetes-int-or-string was True and is None",
    ),
}


@pytest.mark.parametrize("kind", BREAKS)
def test_narrower_schema_is_a_break(kind: str) -> None:
    change, told = BREAKS[kind]
    assert changed(change) == [told]


def _version(body: Schema) -> Schema:
    version: Schema = body["spec"]["versions"][0]
    return version


OUTSIDE: dict[str, tuple[Change, str]] = {
    "dropped version": (lambda body: body["spec"]["versions"].clear(), "version v1 is no longer served"),
    "unserved version": (lambda body: _version(body).update(served=False), "version v1 is no longer served"),
    "subresource": (
        lambda body: _version(body)["subresources"].pop("scale"),
        "v1: the subresource scale is not what it was",
    ),
    "short name": (lambda body: body["spec"]["names"]["shortNames"].remove("tg"), "names.shortNames has lost ['tg']"),
    "kind": (lambda body: body["spec"]["names"].update(kind="Other"), "names.kind has lost ['Thing']"),
    "scope": (lambda body: body["spec"].update(scope="Cluster"), "scope was Namespaced and is Cluster"),
}


@pytest.mark.parametrize("kind", OUTSIDE)
def test_change_of_the_kind_itself_is_a_break(kind: str) -> None:
    change, told = OUTSIDE[kind]
    assert changed(change, inside=lambda body: body) == [told]


ADDITIONS: dict[str, Change] = {
    "optional field": lambda spec: spec["properties"].update(x={"type": "object", "required": ["y"]}),
    "enum value": lambda spec: spec["properties"]["mode"]["enum"].append("c"),
    "no enum any more": lambda spec: spec["properties"]["mode"].pop("enum"),
    "wider bounds": lambda spec: spec["properties"]["weights"]["items"].update(minimum=0, maximum=100),
    "no pattern any more": lambda spec: spec["properties"]["model"].pop("pattern"),
    "a rule less": lambda spec: spec["properties"]["weights"].pop("x-kubernetes-validations"),
    "a rule about a new field": lambda spec: spec.update(
        {"x-kubernetes-validations": [{"rule": "!has(self.new) || has(self.mode)"}]}
    ),
    "no longer required": lambda spec: spec.pop("required"),
    "another description": lambda spec: spec.update(description="new words"),
}


@pytest.mark.parametrize("kind", ADDITIONS)
def test_addition_is_no_break(kind: str) -> None:
    assert changed(ADDITIONS[kind]) == []
