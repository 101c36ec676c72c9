"""What a new CRD would break for objects, clients and manifests that a released one accepts.

Only additions are compatible: a new optional field, a new enum value, a wider bound, a rule less, a rule about new fields.
Descriptions, printer columns and what lies below a field that the released CRD does not have are not compared.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

Schema = dict[str, Any]

_UPPER = ("maxLength", "maximum", "maxItems", "maxProperties")
_LOWER = ("minLength", "minimum", "minItems", "minProperties")
_SAME_OR_GONE = ("pattern", "format", "multipleOf", "exclusiveMaximum", "exclusiveMinimum", "uniqueItems")
_SAME = ("type", "default", "x-kubernetes-int-or-string", "x-kubernetes-list-type", "x-kubernetes-list-map-keys")
_KEPT = ("nullable", "x-kubernetes-preserve-unknown-fields")


def breaks(released: Schema, new: Schema) -> Iterator[str]:
    """Sentences that each name a place in the CRD and what has become stricter or has gone there."""
    old, now = released["spec"], new["spec"]
    for key in ("group", "scope"):
        if old[key] != now[key]:
            yield f"{key} was {old[key]} and is {now[key]}"
    for key, name in old["names"].items():
        lost = (
            set(name) - set(now["names"].get(key, ())) if isinstance(name, list) else {name} - {now["names"].get(key)}
        )
        if lost:
            yield f"names.{key} has lost {sorted(lost)}"
    versions = {version["name"]: version for version in now["versions"]}
    for version in old["versions"]:
        name = version["name"]
        if not versions.get(name, {}).get("served"):
            yield f"version {name} is no longer served"
            continue
        for resource, paths in version.get("subresources", {}).items():
            if versions[name].get("subresources", {}).get(resource) != paths:
                yield f"{name}: the subresource {resource} is not what it was"
        schemas = [one["schema"]["openAPIV3Schema"] for one in (version, versions[name])]
        yield from _narrowed(name, *schemas)


def _narrowed(path: str, old: Schema, new: Schema) -> Iterator[str]:
    yield from _keywords(path, old, new)
    yield from _fields(path, old, new)
    for keyword in ("items", "additionalProperties"):
        if keyword not in old:
            continue
        if keyword not in new:
            yield f"{path}: {keyword} is gone"
        elif isinstance(old[keyword], dict) and isinstance(new[keyword], dict):
            yield from _narrowed(f"{path}[]", old[keyword], new[keyword])
        elif old[keyword] != new[keyword]:
            yield f"{path}: {keyword} was {old[keyword]} and is {new[keyword]}"


def _fields(path: str, old: Schema, new: Schema) -> Iterator[str]:
    for name, field in old.get("properties", {}).items():
        if name in new.get("properties", {}):
            yield from _narrowed(f"{path}.{name}", field, new["properties"][name])
        else:
            yield f"{path}.{name} is gone"
    for name in sorted(set(new.get("required", ())) - set(old.get("required", ()))):
        yield f"{path}.{name} is required now"


def _keywords(path: str, old: Schema, new: Schema) -> Iterator[str]:
    if "enum" in new and ("enum" not in old or set(old["enum"]) - set(new["enum"])):
        yield f"{path}: only {new['enum']} are allowed now, not {old.get('enum', 'everything')}"
    for keyword in _SAME_OR_GONE:
        if keyword in new and new[keyword] != old.get(keyword):
            yield f"{path}: {keyword} was {old.get(keyword)} and is {new[keyword]}"
    for keyword in _SAME:
        if new.get(keyword) != old.get(keyword):
            yield f"{path}: {keyword} was {old.get(keyword)} and is {new.get(keyword)}"
    for keyword in _KEPT:
        if old.get(keyword) and not new.get(keyword):
            yield f"{path}: {keyword} is gone"
    yield from _bounds(path, old, new, _UPPER, lambda now, before: now < before)
    yield from _bounds(path, old, new, _LOWER, lambda now, before: now > before)
    rules = {rule["rule"] for rule in old.get("x-kubernetes-validations", ())}
    for rule in new.get("x-kubernetes-validations", ()):
        if rule["rule"] not in rules and not _about_new_fields(rule["rule"], old):
            yield f"{path}: a new rule, {rule['rule']}"


def _about_new_fields(rule: str, old: Schema) -> bool:
    """Whether a rule holds for whatever lacks a field that is new, as it says itself: `!has(self.new) || …`.

    The field may also be one of the items of a list: `self.list.all(v, !has(v.new)) || …`.
    """
    for part in rule.split(" || "):
        if absent := re.fullmatch(r"!has\(self\.(\w+)\)", part):
            if absent[1] not in old.get("properties", {}):
                return True
        elif each := re.fullmatch(r"self\.(\w+)\.all\((\w+), !has\(\2\.(\w+)\)\)", part):
            items = old.get("properties", {}).get(each[1], {}).get("items", {})
            if each[3] not in items.get("properties", {}):
                return True
    return False


def _bounds(
    path: str, old: Schema, new: Schema, keywords: tuple[str, ...], tighter: Callable[[float, float], bool]
) -> Iterator[str]:
    for keyword in keywords:
        if keyword in new and (keyword not in old or tighter(new[keyword], old[keyword])):
            yield f"{path}: {keyword} was {old.get(keyword, 'not limited')} and is {new[keyword]}"
