"""The bytes of a manifest and their digest: what `sha256sum model.yaml` shows is the identity of the version.

Writing is canonical (declared field order, block style, no aliases), so packing the same content twice gives the same
digest. Reading is strict: repeated keys and aliases are refused, since readers disagree about what they mean.
"""

from __future__ import annotations

import hashlib
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from luntra_serving.bundle.manifest import Draft, Manifest
from luntra_serving.errors import PermanentLoadError, Reason

MAX_MANIFEST_BYTES = 1 << 20
_MAX_DEPTH = 32

ManifestKind = TypeVar("ManifestKind", bound=Draft)


class _PlainDumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the signature is PyYAML's
        return True


class _StrictLoader(yaml.CSafeLoader):
    """On libyaml: a manifest is read while others are answered, and PyYAML's own parser would keep them waiting longer."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str) or key in seen:
                problem = f"key {key!r} is repeated or not a text"
                raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def digest_of(content: bytes) -> str:
    """Return `sha256:<64 hex digits>` of `content`."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def canonical_bytes(manifest: Manifest) -> bytes:
    """Return the bytes that `model.yaml` has after packing; equal manifests give equal bytes."""
    content = manifest.model_dump(mode="json", exclude_none=True)
    text: str = yaml.dump(
        content, Dumper=_PlainDumper, sort_keys=False, default_flow_style=False, allow_unicode=True, width=4096
    )
    return text.encode()


def parse_manifest(content: bytes) -> Manifest:
    """Return the manifest in `content`. Raises PermanentLoadError (InvalidBundle) with every problem named."""
    return _parse(content, Manifest)


def parse_draft(content: bytes) -> Draft:
    """Return the draft in `content`; a `files` list that an earlier packing left there is dropped."""
    return _parse(content, Draft, drop="files")


def _parse(content: bytes, kind: type[ManifestKind], drop: str | None = None) -> ManifestKind:
    if len(content) > MAX_MANIFEST_BYTES:
        raise _invalid(f"is larger than {MAX_MANIFEST_BYTES} bytes")
    try:
        _refuse_tangles(content)
        document = yaml.load(content, Loader=_StrictLoader)  # noqa: S506 - a SafeLoader, made stricter
    except (yaml.YAMLError, ValueError) as error:
        raise _invalid(f"is not readable YAML: {' '.join(str(error).split())}") from error
    if not isinstance(document, dict):
        raise _invalid("is not a mapping of fields")
    try:
        return kind.model_validate({key: value for key, value in document.items() if key != drop})
    except ValidationError as error:
        raise _invalid("; ".join(describe_problems(error))) from error


def _refuse_tangles(content: bytes) -> None:
    """Raise YAMLError for aliases, and for nesting so deep that libyaml's composer would overflow the stack."""
    depth = 0
    for event in yaml.parse(content, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise yaml.YAMLError(f"aliases are not allowed {event.start_mark}")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _MAX_DEPTH:
            raise yaml.YAMLError(f"nested more than {_MAX_DEPTH} deep {event.start_mark}")


def describe_problems(error: ValidationError) -> list[str]:
    """Return one line for each problem: the field as a dotted path, then what is wrong with it."""
    lines = []
    for problem in error.errors(include_url=False, include_context=False):
        field = ".".join(str(part) for part in problem["loc"]) or "(top level)"
        message = problem["msg"].removeprefix("Value error, ")
        lines.append(f"{field}: {message}")
    return lines


def _invalid(problem: str) -> PermanentLoadError:
    return PermanentLoadError(Reason.INVALID_BUNDLE, f"model.yaml {problem}")
