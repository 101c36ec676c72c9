"""The CustomResourceDefinition, generated from the types, so that neither can drift from the other.

`python -m luntra_operator.api.crd > crds/luntra.io_modeldeployments.yaml`; `make lint` fails when the
committed file differs. The schema is structural: references are inlined, `anyOf: [T, null]`
becomes T, and CEL rules come from each type's `cel_rules`.
"""

import sys
import typing
from typing import Any

import yaml
from pydantic import BaseModel

from .spec import ModelDeploymentSpec
from .status import ModelDeploymentStatus
from .vocabulary import GROUP, KIND, PLURAL, VERSION

_NAME_RULE = {
    "rule": "self.metadata.name.size() <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
    "message": "metadata.name must be at most 40 characters of a-z, 0-9 and '-', begin with a letter and end with a letter or digit: "
    "Services are named after it",
}
_DROPPED = {"title", "default", "$defs"}


def crd() -> dict[str, Any]:
    """The whole CustomResourceDefinition as a dict."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": KIND.lower(),
                "shortNames": ["md"],
                "categories": ["all", "luntra"],
            },
            "versions": [_version()],
        },
    }


def _version() -> dict[str, Any]:
    spec = _schema(ModelDeploymentSpec)
    spec["properties"]["replicas"]["default"] = 1  # the scale subresource needs a number to read
    return {
        "name": VERSION,
        "served": True,
        "storage": True,
        "additionalPrinterColumns": [
            {"name": "Phase", "type": "string", "jsonPath": ".status.phase"},
            {"name": "Stable", "type": "string", "jsonPath": ".status.stable.version"},
            {"name": "Candidate", "type": "string", "jsonPath": ".status.candidate.version"},
            {"name": "Weight", "type": "integer", "jsonPath": ".status.traffic.desired"},
            {"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type=='Ready')].status"},
            {
                "name": "Reason",
                "type": "string",
                "jsonPath": ".status.conditions[?(@.type=='Ready')].reason",
                "priority": 1,
            },
            {"name": "Rejected", "type": "string", "jsonPath": ".status.rejectedReason", "priority": 1},
            {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
        ],
        "subresources": {
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.replicas",
                "statusReplicasPath": ".status.replicas",
                "labelSelectorPath": ".status.selector",
            },
        },
        "schema": {
            "openAPIV3Schema": {
                "description": "One model behind one endpoint, replaced without downtime.",
                "type": "object",
                "required": ["spec"],
                "x-kubernetes-validations": [_NAME_RULE],
                "properties": {
                    "apiVersion": {"type": "string"},
                    "kind": {"type": "string"},
                    "metadata": {"type": "object"},
                    "spec": spec,
                    "status": _schema(ModelDeploymentStatus),
                },
            }
        },
    }


def _schema(model: type[BaseModel]) -> dict[str, Any]:
    document = model.model_json_schema(by_alias=True)
    rules = {found.__name__: found.cel_rules for found in _models(model) if hasattr(found, "cel_rules")}
    schema: dict[str, Any] = _inline(document, document.get("$defs", {}), rules, title=model.__name__)
    return schema


def _models(model: type[BaseModel]) -> set[type[BaseModel]]:
    found = {model}
    for field in model.model_fields.values():
        found |= {nested for part in _parts(field.annotation) for nested in _models(part)}
    return found


def _parts(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [part for argument in typing.get_args(annotation) for part in _parts(argument)]


def _inline(node: Any, defs: dict[str, Any], rules: dict[str, Any], title: str = "") -> Any:
    if isinstance(node, list):
        return [_inline(item, defs, rules) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        name = node["$ref"].rsplit("/", 1)[-1]
        merged = {**defs[name], **{key: value for key, value in node.items() if key != "$ref"}}
        return _inline(merged, defs, rules, title=name)
    if "anyOf" in node:
        return _inline({**_without_null(node["anyOf"]), **{k: v for k, v in node.items() if k != "anyOf"}}, defs, rules)
    result = {key: _inline_value(key, value, defs, rules) for key, value in node.items() if key not in _DROPPED}
    if result.get("type") == "object":
        _close_object(result)
    if rules.get(title):
        result["x-kubernetes-validations"] = [{"rule": rule, "message": message} for rule, message in rules[title]]
    for bound in ("Minimum", "Maximum"):
        if f"exclusive{bound}" in result:  # JSON Schema has a number here, OpenAPI 3.0 a flag beside the bound
            result[bound.lower()] = result.pop(f"exclusive{bound}")
            result[f"exclusive{bound}"] = True
    if "const" in result:
        result["enum"] = [result.pop("const")]
    return result


def _inline_value(key: str, value: Any, defs: dict[str, Any], rules: dict[str, Any]) -> Any:
    if key == "properties":
        return {name: _inline(item, defs, rules) for name, item in value.items()}
    if key in ("enum", "required"):
        return value
    return _inline(value, defs, rules)


def _without_null(options: list[dict[str, Any]]) -> dict[str, Any]:
    rest = [option for option in options if option.get("type") != "null"]
    if len(rest) == 1:
        return rest[0]
    if {option.get("type") for option in rest} == {"integer", "string"}:
        text = next(option for option in rest if option["type"] == "string")
        return {"x-kubernetes-int-or-string": True, "pattern": text["pattern"]}
    raise TypeError(f"a structural schema cannot say {rest}; give the field one type")


def _close_object(schema: dict[str, Any]) -> None:
    """Structural schemas know no `additionalProperties: false`: pruning does that; free maps keep what they hold."""
    extra = schema.get("additionalProperties")
    if extra is False:
        del schema["additionalProperties"]
    elif extra is True or ("properties" not in schema and extra is None):
        schema.pop("additionalProperties", None)
        schema["x-kubernetes-preserve-unknown-fields"] = True


HEADER = "# Generated from luntra_operator.api by `make crds`; do not edit.\n"


def main() -> None:
    """Print the CRD as YAML."""
    sys.stdout.write(HEADER + yaml.safe_dump(crd(), sort_keys=False, width=120))


if __name__ == "__main__":
    main()
