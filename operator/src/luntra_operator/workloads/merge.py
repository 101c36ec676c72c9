"""Strategic merge of the user's `podTemplate` over the generated pod template, and what it may not do.

Lists merge by the key that Kubernetes declares for them (see `patchMergeKey` in k8s.io/api/core/v1);
all other lists are replaced; null deletes. The server container is called `server`.
"""

from typing import Any

_MERGE_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "volumes": "name",
    "env": "name",
    "imagePullSecrets": "name",
    "volumeMounts": "mountPath",
    "ports": "containerPort",
    "topologySpreadConstraints": "topologyKey",
    "hostAliases": "ip",
}
_HOST_NAMESPACES = ("hostNetwork", "hostPID", "hostIPC")


class TemplateError(ValueError):
    """A podTemplate asks for what is refused, or has a wrong shape; the message names the field."""


def checked_template(template: dict[str, Any], patch: dict[str, Any] | None) -> dict[str, Any]:
    """The template with the user's patch merged over it; labels that select the pods stay ours.

    Raises:
        TemplateError: the patch is malformed or asks for host access or another identity.
    """
    if not patch:
        return template
    unknown = set(patch) - {"metadata", "spec"}
    if unknown:
        raise TemplateError(
            f"serving.podTemplate.{min(unknown)} is not a field of a pod template; use metadata and spec"
        )
    for field, value in patch.items():
        if not isinstance(value, dict):
            raise TemplateError(f"serving.podTemplate.{field} is {value!r}; it must be a map, or be left out")
    merged = merge(template, patch, "serving.podTemplate")
    merged["metadata"]["labels"] = {**merged["metadata"].get("labels", {}), **template["metadata"]["labels"]}
    _refuse_host_access(merged["spec"])
    return merged


def merge(base: dict[str, Any], patch: dict[str, Any], path: str) -> dict[str, Any]:
    """`base` with `patch` merged over it; neither is changed.

    Raises:
        TemplateError: an item of a keyed list has no key, or the shapes do not fit.
    """
    result = dict(base)
    for key, value in patch.items():
        here = f"{path}.{key}"
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            before = result.get(key, {})
            if not isinstance(before, dict):
                raise TemplateError(f"{here} is a map but the template has a {type(before).__name__} there")
            result[key] = merge(before, value, here)
        elif isinstance(value, list) and key in _MERGE_KEYS:
            result[key] = _merge_list(result.get(key, []), value, _MERGE_KEYS[key], here)
        else:
            result[key] = value
    return result


def _merge_list(base: list[Any], patch: list[Any], merge_key: str, path: str) -> list[Any]:
    result = list(base)
    for index, item in enumerate(patch):
        if not isinstance(item, dict) or merge_key not in item:
            raise TemplateError(f"{path}[{index}] has no {merge_key}; items of this list are merged by it")
        found = next((i for i, known in enumerate(result) if known.get(merge_key) == item[merge_key]), None)
        if found is None:
            result.append(item)
        else:
            result[found] = merge(result[found], item, f"{path}[{index}]")
    return result


def _refuse_host_access(spec: dict[str, Any]) -> None:
    for field in _HOST_NAMESPACES:
        if spec.get(field):
            raise TemplateError(
                f"serving.podTemplate.spec.{field} is refused: a model server has no business on its host"
            )
    if spec.get("serviceAccountName", "default") != "default" or spec.get("serviceAccount", "default") != "default":
        raise TemplateError(
            "serving.podTemplate.spec.serviceAccountName is refused: pods run without a token; remove it"
        )
    if spec.get("automountServiceAccountToken"):
        raise TemplateError(
            "serving.podTemplate.spec.automountServiceAccountToken is refused: pods run without a token"
        )
    for volume in spec.get("volumes", []):
        if "hostPath" in volume:
            raise TemplateError(
                f"serving.podTemplate.spec.volumes: {volume['name']!r} is a hostPath, which is refused; use a PVC or an image volume"
            )
        sources = (volume.get("projected") or {}).get("sources", [])
        if any("serviceAccountToken" in source for source in sources):
            raise TemplateError(
                f"serving.podTemplate.spec.volumes: {volume['name']!r} holds a token, which is refused: pods run without one"
            )
    _refuse_privileges(spec.get("securityContext") or {}, "securityContext")
    for group in ("containers", "initContainers"):
        for container in spec.get(group, []):
            _refuse_privileges(container.get("securityContext") or {}, f"{group}: {container['name']!r}")


def _refuse_privileges(context: dict[str, Any], where: str) -> None:
    """What the `restricted` Pod Security Standard forbids in a security context."""
    seccomp = (context.get("seccompProfile") or {}).get("type")
    refused = {
        "privileged": context.get("privileged"),
        "allowPrivilegeEscalation": context.get("allowPrivilegeEscalation"),
        "capabilities.add": (context.get("capabilities") or {}).get("add"),
        "runAsUser 0": context.get("runAsUser") == 0,
        "runAsNonRoot false": context.get("runAsNonRoot") is False,
        "seccompProfile Unconfined": seccomp == "Unconfined",
        "procMount": context.get("procMount"),
    }
    for field, asked in refused.items():
        if asked:
            raise TemplateError(
                f"serving.podTemplate.spec.{where} asks for {field}, which is refused; a model server needs no privileges"
            )
